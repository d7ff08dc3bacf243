import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { afterEach, beforeEach, describe, test } from 'node:test';
import { COMPLETION_SCRIPTS } from '../../../src/cli/commands/completion.ts';
import { FakeGateway, JOB, jobView, json, nodeView, runView } from '../../client/fake-gateway.ts';
import { TestWorld } from '../test-world.ts';

describe('completion', { timeout: 20_000 }, () => {
  let gateway: FakeGateway;
  let world: TestWorld;
  beforeEach(async () => {
    gateway = await new FakeGateway().listen();
    world = new TestWorld(gateway.home);
  });
  afterEach(() => gateway.close());

  const complete = async (...words: string[]): Promise<string[]> => {
    const { stdout, stderr, exitCode } = await world.run('__complete', '--', ...words);
    assert.deepEqual([stderr, exitCode], ['', 0]);
    return stdout.split('\n').slice(0, -1);
  };

  test('commands, subcommands, options and choices', async () => {
    assert.deepEqual(await complete('no'), ['node', 'nodes']);
    assert.deepEqual(await complete('gateway', ''), ['up', 'down', 'status', 'logs', 'reload', 'rotate-key']);
    assert.deepEqual(await complete('--json', 'nodes', 're'), ['rename', 'revoke', 'reset', 'reject']);
    assert.deepEqual(await complete('run', '--ti'), ['--timeout']);
    assert.deepEqual(await complete('health', 'report', '--format', ''), ['text', 'json', 'md', 'html', 'csv']);
    assert.deepEqual(await complete('completion', 'f'), ['fish']);
    assert.deepEqual(await complete('--h'), ['--home', '--help']);
  });

  test('names of nodes and ids of jobs', async () => {
    gateway.on('GET /v1/nodes', json({ nodes: [nodeView({ name: 'web-1' }), nodeView({ name: 'db-1' })] }));
    gateway.on('GET /v1/jobs', json({ jobs: [jobView(runView())] }));
    assert.deepEqual(await complete('run', 'w'), ['web-1']);
    assert.deepEqual(await complete('run', '--timeout', '3s', ''), ['web-1', 'db-1']);
    assert.deepEqual(await complete('health', ''), ['report', 'web-1', 'db-1']);
    assert.deepEqual(await complete('broadcast', '--on', 'd'), ['db-1']);
    assert.deepEqual(await complete('jobs', 'logs', 'ab'), [JOB]);
    assert.deepEqual(await complete('jobs', 'logs', JOB, 'd'), ['db-1']);
  });

  test('nothing inside of the command for the node, and no error without a gateway', async () => {
    assert.deepEqual(await complete('run', 'n', 'l'), []);
    await gateway.stop();
    assert.deepEqual(await complete('run', ''), []);
    assert.deepEqual(await complete('nonsense', ''), []);
  });

  test('the scripts are what completion prints; bash can read its own', async () => {
    for (const [shell, script] of Object.entries(COMPLETION_SCRIPTS)) {
      assert.equal((await world.run('completion', shell)).stdout, script);
    }
    const { status, stderr } = spawnSync('bash', ['-n'], { input: COMPLETION_SCRIPTS.bash, encoding: 'utf8' });
    assert.deepEqual([status, stderr], [0, '']);
  });

  test('bash completes with it', () => {
    const script = `fleet() { printf '%s\\n' "$@" >&2; printf 'node\\nnodes\\n'; }\n${COMPLETION_SCRIPTS.bash.replace('2>/dev/null', '')}
      COMP_WORDS=(fleet --json no); COMP_CWORD=2; _fleet; echo "\${COMPREPLY[*]}"`;
    const { stdout, stderr } = spawnSync('bash', ['-c', script], { encoding: 'utf8' });
    assert.equal(stderr, '__complete\n--\n--json\nno\n');
    assert.equal(stdout, 'node nodes\n');
  });
});
