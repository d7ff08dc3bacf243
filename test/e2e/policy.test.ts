/** The node's own say, from the command line of the gateway to a process that never started. */
import assert from 'node:assert/strict';
import { mkdirSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { after, before, describe, it } from 'node:test';
import type { NodeStatusView } from '../../src/protocol/node-control.ts';
import { FleetWorld, type Service, until } from '../support/fleet-processes.ts';

describe('policy', () => {
  let world: FleetWorld;
  let node: Service;
  const configure = (policy: string): void => {
    mkdirSync(world.nodeHome('careful'), { recursive: true, mode: 0o700 });
    writeFileSync(path.join(world.nodeHome('careful'), 'config.yaml'), `node:\n  policy: ${policy}\n`);
  };
  const status = async (): Promise<NodeStatusView> => {
    const { text } = await world.fleet(['node', 'status', '--json'], { home: world.nodeHome('careful') });
    return JSON.parse(text) as NodeStatusView;
  };

  before(async () => {
    world = await FleetWorld.create();
    await world.startGateway();
    configure('{ commands: { allow: [echo *], exact: ["echo a | tr a b"] }, maxConcurrency: 1 }');
    node = await world.startNode('careful');
  });

  after(() => world.close());

  it('runs what is allowed, and rejects the rest before it starts: exit code 126, and the rule in the reason', async () => {
    assert.equal((await world.fleet(['run', 'careful', 'echo hello'])).text, 'hello\n');
    assert.equal((await world.fleet(['run', 'careful', 'echo a | tr a b'])).text, 'b\n');
    const trace = path.join(world.folder, 'trace');
    for (const command of [
      `echo x; touch ${trace}`,
      `echo $(touch ${trace})`,
      `touch ${trace}`,
      `echo x\ntouch ${trace}`,
    ]) {
      const run = await world.json<{ state: string; reason: string; startedAt: string | null }>(
        ['run', 'careful', '--json', '--', command],
        126,
      );
      assert.equal(run.state, 'rejected');
      assert.match(run.reason, /^policy_denied: node\.policy\.commands\.allow: /);
      assert.equal(run.startedAt, null);
    }
    const withEnv = await world.fleet(['run', 'careful', '--env', 'LD_PRELOAD=/tmp/evil.so', 'echo hello']);
    assert.equal(withEnv.code, 126);
    assert.match(withEnv.stderr, /node\.policy\.env: LD_PRELOAD/);
    await assert.rejects(
      import('node:fs/promises').then(({ stat }) => stat(trace)),
      { code: 'ENOENT' },
    );
  });

  it('keeps the runs past its limit waiting, and runs each once', async () => {
    configure('{ maxConcurrency: 1 }');
    node.child.kill('SIGHUP');
    await until(async () => (await status()).policy?.commands === null, 'the changed policy');
    const count = path.join(world.folder, 'count');
    const command = `echo start >> ${count}; sleep 0.2; echo end >> ${count}`;
    const runs = await Promise.all([1, 2, 3].map(() => world.fleet(['run', 'careful', command])));
    assert.deepEqual(
      runs.map(({ code }) => code),
      [0, 0, 0],
    );
    const { readFile } = await import('node:fs/promises');
    assert.equal(await readFile(count, 'utf8'), 'start\nend\n'.repeat(3));
  });

  it('keeps the old policy when the file is broken at SIGHUP, and says so; does not start with one', async () => {
    configure('{ kinds: [shel] }');
    node.child.kill('SIGHUP');
    await until(async () => (await status()).faults.length === 1, 'the fault');
    assert.equal((await status()).policy?.maxConcurrency, 1);
    const { policy } = await world.json<{ policy: boolean }>(['nodes', 'show', 'careful', '--json']);
    assert.equal(policy, true);
    node.child.kill('SIGTERM');
    await node.exited;
    const { code, stderr } = await world.fleet(['node', 'up'], { home: world.nodeHome('careful') });
    assert.equal(code, 78);
    assert.match(stderr, /node\.policy\.kinds/);
  });
});
