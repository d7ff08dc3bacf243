/** Starting, asking, stopping: what a person does with the two services, and what they hear when it goes wrong. */
import assert from 'node:assert/strict';
import { chmod, mkdir, readFile, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { after, before, describe, it } from 'node:test';
import { FleetWorld, isAlive, until } from '../support/fleet-processes.ts';

describe('the life of gateway and node', () => {
  let world: FleetWorld;

  before(async () => {
    world = await FleetWorld.create();
  });

  after(() => world.close());

  it('says that no gateway runs, and how to start one', async () => {
    const result = await world.fleet(['nodes']);
    assert.equal(result.code, 255);
    assert.match(result.stderr, /fleet gateway up/);
    assert.ok(result.stderr.trimEnd().split('\n').length <= 3);
    assert.equal((await world.fleet(['health'])).code, 3);
  });

  it('starts both in the background, answers, logs, and stops', async () => {
    const up = await world.fleet(['gateway', 'up', '--detach', '--listen', '127.0.0.1:0']);
    assert.equal(up.code, 0, up.stderr);
    const status = await world.json<{ pid: number; listen: { port: number } }>(['gateway', 'status', '--json']);
    world.port = status.listen.port;
    const again = await world.fleet(['gateway', 'up', '--listen', '127.0.0.1:0']);
    assert.equal(again.code, 255);
    assert.match(again.stderr, /already running/);

    const { code } = await world.json<{ code: string }>(['invite', '--name', 'bg', '--json']);
    const home = world.nodeHome('bg');
    const node = await world.fleet(['node', 'up', '--detach', '--gateway', `127.0.0.1:${world.port}`, '--code', code], {
      home,
    });
    assert.equal(node.code, 0, node.stderr);
    assert.match(node.text, /bg is online/);
    const nodeStatus = JSON.parse((await world.fleet(['node', 'status', '--json'], { home })).text) as {
      state: string;
      pid: number;
    };
    assert.equal(nodeStatus.state, 'online');
    assert.equal((await world.fleet(['run', 'bg', 'echo yes'])).text, 'yes\n');
    assert.match((await world.fleet(['node', 'logs'], { home })).text, /tunnel is up/);
    assert.match((await world.fleet(['gateway', 'logs'])).text, /gateway ready/);

    assert.equal((await world.fleet(['node', 'down'], { home })).code, 0);
    assert.equal(isAlive(nodeStatus.pid), false);
    assert.equal((await world.fleet(['gateway', 'down'])).code, 0);
    assert.equal(isAlive(status.pid), false);
    assert.equal((await world.fleet(['gateway', 'status'])).code, 255);
  });

  it('refuses a home that others can read, and a config that is wrong, with all faults at once', async () => {
    const loose = path.join(world.folder, 'loose');
    await mkdir(loose, { mode: 0o755 });
    await chmod(loose, 0o755);
    const open = await world.fleet(['gateway', 'up', '--listen', '127.0.0.1:0'], { home: loose });
    assert.equal(open.code, 78);
    assert.match(open.stderr, /chmod 700/);

    const file = path.join(world.folder, 'bad.yaml');
    await writeFile(file, 'gateway:\n  lisen: 1.2.3.4\n  heartbeatInterval: soon\n');
    const bad = await world.fleet(['--config', file, 'gateway', 'up']);
    assert.equal(bad.code, 78);
    assert.match(bad.stderr, /lisen/);
    assert.match(bad.stderr, /heartbeatInterval/);
  });

  it('says what is wrong with a port that is taken', async () => {
    await world.startGateway();
    const other = await world.fleet(['gateway', 'up', '--listen', `127.0.0.1:${world.port}`], {
      home: world.nodeHome('other'),
    });
    assert.equal(other.code, 255);
    assert.match(other.stderr, /in use/);
  });

  it('keeps trying while the gateway is away, and says so', async () => {
    const node = await world.startNode('patient');
    world.gateway?.child.kill('SIGTERM');
    await world.gateway?.exited;
    const home = world.nodeHome('patient');
    await until(async () => {
      const { text } = await world.fleet(['node', 'status', '--json'], { home });
      return (JSON.parse(text) as { state: string }).state !== 'online';
    }, 'the node to notice');
    await world.startGateway();
    await until(async () => (await world.fleet(['run', 'patient', 'true'])).code === 0, 'the node to come back');
    assert.equal(node.child.exitCode, null);
  });

  it('tells a typo from a command, in at most three lines, with 2', async () => {
    for (const args of [
      ['nods'],
      ['run'],
      ['run', 'patient', '--tmeout', '3s', 'true'],
      ['jobs', 'show'],
      ['health', 'report', '--since', 'soon'],
    ]) {
      const result = await world.fleet(args);
      assert.equal(result.code, 2, `${args.join(' ')}: ${result.stderr}`);
      assert.ok(result.stderr.trimEnd().split('\n').length <= 3, result.stderr);
    }
  });

  it('prints a report into a file from an empty environment, as cron does', async () => {
    const out = path.join(world.folder, 'report.html');
    const result = await world.fleet(
      ['--home', world.home, 'health', 'report', '--since', '24h', '--format', 'html', '--out', out],
      {
        env: { PATH: '/usr/bin:/bin', HOME: '' },
      },
    );
    assert.ok([0, 1, 2].includes(result.code ?? -1), result.stderr);
    assert.match(await readFile(out, 'utf8'), /<!doctype html>/i);
  });
});
