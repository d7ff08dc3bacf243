import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import http from 'node:http';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterEach, beforeEach, describe, test } from 'node:test';
import type { NodePolicyView } from '../../../src/protocol/node-control.ts';
import { TestWorld } from '../test-world.ts';

const STATUS = {
  profile: 'default',
  name: 'pi-7',
  id: 'x',
  gateway: 'gw:18790',
  state: 'waiting',
  pendingCode: null,
  lastError: { code: 'gateway_unreachable', message: 'no answer', hint: 'Is it up?' },
  retryAt: null,
  connectedSince: null,
  rttMs: 12.34,
  skewMs: null,
  runsActive: 0,
  policy: null,
  faults: [],
  pid: 88,
  version: '0.1.0',
  startedAt: '2026-01-01T00:00:00.000Z',
  connects: 3,
};

describe('fleet node', { timeout: 20_000 }, () => {
  let home: string;
  let world: TestWorld;
  const servers: http.Server[] = [];
  const answers = new Map<string, object>();
  beforeEach(() => {
    answers.clear();
    answers.set('/v1/status', STATUS);
    home = mkdtempSync(path.join(tmpdir(), 'fn-'));
    world = new TestWorld(home);
  });
  afterEach(() => {
    for (const server of servers.splice(0)) server.close();
    rmSync(home, { recursive: true, force: true });
  });

  function addProfile(profile: string, name?: string): string {
    const folder = path.join(home, 'nodes', profile);
    mkdirSync(folder, { recursive: true });
    if (name !== undefined) writeFileSync(path.join(folder, 'state.json'), JSON.stringify({ pairing: { name } }));
    return folder;
  }

  async function serve(folder: string): Promise<string[]> {
    const seen: string[] = [];
    const server = http.createServer((request, response) => {
      seen.push(`${request.method} ${request.url}`);
      response.end(JSON.stringify(answers.get(request.url ?? '') ?? { pid: 88 }));
    });
    servers.push(server);
    await new Promise<void>((resolve) => server.listen(path.join(folder, 'node.sock'), resolve));
    return seen;
  }

  test('the only node needs no name; of several one must be named, by folder or by name', async () => {
    const folder = addProfile('default', 'pi-7');
    await serve(folder);
    const { stdout } = await world.run('node', 'status');
    assert.match(stdout, /node: +pi-7\n/);
    assert.match(stdout, /last error: +no answer\nwhat to do: +Is it up\?\n/);
    assert.match(stdout, /round trip: +12 ms\n/);
    addProfile('refused');
    assert.equal((await world.run('node', 'status')).exitCode, 0, 'one that no gateway has ever let in is not meant');
    addProfile('other', 'web-1');
    const several = await world.run('node', 'status');
    assert.equal(several.exitCode, 2);
    assert.match(several.stderr, /several nodes .*: default, other, refused\nChoose one: --name NAME/);
    assert.deepEqual(JSON.parse((await world.run('node', 'status', '--json', '--name', 'default')).stdout), STATUS);
    assert.equal((await world.run('node', 'status', '--name', 'pi-7')).exitCode, 0);
    const unknown = await world.run('node', 'status', '--name', 'nope');
    assert.equal(unknown.exitCode, 255);
    assert.match(unknown.stderr, /Available: default, other, refused/);
  });

  test('rotate-key: done, and for later; the policy in its status', async () => {
    const folder = addProfile('default');
    const seen = await serve(folder);
    const view = { state: 'rotated', fingerprint: 'SHA256:z' };
    answers.set('/v1/rotate-key', view);
    assert.equal((await world.run('node', 'rotate-key')).stdout, 'the key is now SHA256:z\n');
    assert.deepEqual(seen, ['POST /v1/rotate-key']);
    answers.set('/v1/rotate-key', { ...view, state: 'waiting' });
    assert.match((await world.run('node', 'rotate-key')).stdout, /not connected; .* SHA256:z\n/);
    assert.equal(JSON.parse((await world.run('node', 'rotate-key', '--json')).stdout).state, 'waiting');
    assert.match((await world.run('node', 'status')).stdout, /policy: +none: the gateway may request anything\n/);
    const policy: NodePolicyView = {
      kinds: ['shell'],
      commands: { allow: ['df -h *'], exact: ['a\nb'] },
      deny: [],
      users: [],
      env: null,
      folders: ['/srv'],
      maxConcurrency: 2,
    };
    answers.set('/v1/status', { ...STATUS, policy, faults: ['all wrong'] });
    const { stdout } = await world.run('node', 'status');
    for (const line of [
      /policy: allow: +df -h \*\n/,
      /policy: exact: +"a\\nb"\n/,
      /policy: users: +the node's own\n/,
      /policy: folders: +the home folder, \/srv\n/,
      /policy: at once: +2\n/,
      /fault: +all wrong\n/,
    ])
      assert.match(stdout, line);
  });

  test('status of one that does not run fails; down does not', async () => {
    addProfile('default');
    const status = await world.run('node', 'status', '--json');
    assert.equal(status.exitCode, 255);
    assert.equal(JSON.parse(status.stdout).error.code, 'not_running');
    const down = await world.run('node', 'down');
    assert.deepEqual([down.exitCode, down.stderr], [0, 'node is not running\n']);
  });

  test('without any node: status fails with what to do, down is fine, a wrong name is not', async () => {
    assert.match((await world.run('node', 'status')).stderr, /fleet node up --gateway HOST/);
    assert.equal((await world.run('node', 'down')).exitCode, 0);
    assert.equal((await world.run('node', 'down', '--name', 'x')).exitCode, 255);
  });

  test('down asks it to end', async () => {
    const seen = await serve(addProfile('default'));
    assert.equal((await world.run('node', 'down', '--json')).stdout, '{"pid":88}\n');
    assert.deepEqual(seen, ['POST /v1/shutdown']);
  });

  test('down asks again when the connection is cut, but not whether the gateway shall forget the node', async () => {
    const folder = addProfile('default');
    const seen: string[] = [];
    const server = http.createServer((request, response) => {
      seen.push(`${request.url}`);
      if (seen.length % 2 === 1) request.socket.destroy();
      else response.end(JSON.stringify({ pid: 88 }));
    });
    servers.push(server);
    await new Promise<void>((resolve) => server.listen(path.join(folder, 'node.sock'), resolve));
    assert.equal((await world.run('node', 'down', '--json')).stdout, '{"pid":88}\n');
    assert.equal((await world.run('node', 'down', '--forget')).exitCode, 255);
    assert.deepEqual(seen, ['/v1/shutdown', '/v1/shutdown', '/v1/leave']);
  });

  test('a broken state file is told, not guessed over', async () => {
    writeFileSync(path.join(addProfile('default'), 'state.json'), '{');
    const { exitCode, stderr } = await world.run('node', 'status');
    assert.equal(exitCode, 255);
    assert.match(stderr, /cannot read .*state\.json/);
  });

  test('logs: readable, raw, and none yet', async () => {
    const folder = addProfile('default');
    assert.match((await world.run('node', 'logs')).stderr, /there is no log yet/);
    const line = '{"level":"info","time":"2026-01-01T10:20:30.000Z","msg":"hello","a":1}';
    writeFileSync(path.join(folder, 'node.log'), `${line}\n${line}\n${line}\n`);
    assert.equal((await world.run('node', 'logs', '-n', '2')).stdout, '10:20:30 info  hello a=1\n'.repeat(2));
    assert.equal((await world.run('node', 'logs', '-n1', '--json')).stdout, `${line}\n`);
    assert.equal((await world.run('node', 'logs', '-n', '0')).exitCode, 2);
  });
});
