/** How machines get in, and how they are kept out: real processes, real keys. */
import assert from 'node:assert/strict';
import { readFile, stat, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { after, before, describe, it } from 'node:test';
import { FleetWorld, until } from '../support/fleet-processes.ts';

describe('pairing', () => {
  let world: FleetWorld;
  const gateway = (): string[] => ['node', 'up', '--gateway', `127.0.0.1:${world.port}`];

  before(async () => {
    world = await FleetWorld.create();
    await world.startGateway();
  });

  after(() => world.close());

  it('lets a node in by code once, and lets it come back without one', async () => {
    const { code } = await world.json<{ code: string }>(['invite', '--name', 'web-1', '--json']);
    const node = await world.resumeNode('web-1', '--code', code);
    assert.match(node.stdout(), /^web-1 is online/);
    node.child.kill('SIGTERM');
    assert.deepEqual(await node.exited, { code: 0, signal: null });
    await world.resumeNode('web-1');

    const second = await world.fleet([...gateway(), '--code', code], { home: world.nodeHome('thief') });
    assert.equal(second.code, 77);
    assert.match(second.stderr, /code/);
  });

  it('keeps keys and state private', async () => {
    const folder = path.join(world.nodeHome('web-1'), 'nodes');
    const [profile = ''] = (await import('node:fs')).readdirSync(folder);
    for (const file of ['id_ed25519', 'state.json']) {
      assert.equal((await stat(path.join(folder, profile, file))).mode & 0o777, 0o600);
    }
    assert.equal((await stat(path.join(world.home, 'gateway.sock'))).mode & 0o777, 0o600);
    assert.equal((await stat(world.home)).mode & 0o777, 0o700);
  });

  it('lets a machine without a code wait, shows the same code on both sides, and lets it in once approved', async () => {
    const node = world.spawn([...gateway(), '--name', 'laptop'], { home: world.nodeHome('laptop') });
    await until(() => /\d{4}-\d{4}/.test(node.stderr()), 'the comparison code');
    const [code = ''] = /\d{4}-\d{4}/.exec(node.stderr()) ?? [];
    const pending = await world.json<{ name: string; code: string }[]>(['nodes', 'pending', '--json']);
    assert.deepEqual(
      pending.map((entry) => [entry.name, entry.code]),
      [['laptop', code]],
    );
    assert.equal((await world.fleet(['run', 'laptop', 'true'])).code, 255);
    assert.equal((await world.fleet(['nodes', 'approve', 'laptop'])).code, 0);
    await until(() => node.stdout().includes('laptop is online'), 'the approved node to come online');
    assert.equal((await world.fleet(['run', 'laptop', 'echo in'])).text, 'in\n');
  });

  it('turns a machine away for good when told to', async () => {
    const node = world.spawn([...gateway(), '--name', 'stranger'], { home: world.nodeHome('stranger') });
    await until(
      async () => (await world.json<unknown[]>(['nodes', 'pending', '--json'])).length === 1,
      'the stranger to ask',
    );
    assert.equal((await world.fleet(['nodes', 'reject', 'stranger'])).code, 0);
    assert.equal((await node.exited).code, 77);
  });

  it('refuses a mistyped code and a code of another gateway', async () => {
    const home = world.nodeHome('typo');
    assert.equal((await world.fleet([...gateway(), '--code', 'nonsense'], { home })).code, 77);
    assert.equal((await world.fleet([...gateway(), '--code', '0000-0000-0000-0000'], { home })).code, 77);
  });

  it('ends a revoked node, which stops for good', async () => {
    const node = await world.startNode('lost-laptop');
    assert.equal((await world.fleet(['nodes', 'revoke', 'lost-laptop'])).code, 0);
    assert.equal((await node.exited).code, 77);
    assert.match(node.stderr(), /revoked/);
    assert.equal((await world.fleet(['run', 'lost-laptop', 'true'])).code, 77);
  });

  it('stops when the gateway shows another host key than the pinned one', async () => {
    const node = await world.startNode('careful');
    node.child.kill('SIGTERM');
    await node.exited;
    const folder = path.join(world.nodeHome('careful'), 'nodes');
    const [profile = ''] = (await import('node:fs')).readdirSync(folder);
    const file = path.join(folder, profile, 'state.json');
    const state = JSON.parse(await readFile(file, 'utf8')) as { hostKey: string };
    const key = Buffer.from(state.hostKey, 'base64');
    key[key.length - 1] = (key.at(-1) ?? 0) ^ 1;
    await writeFile(file, JSON.stringify({ ...state, hostKey: key.toString('base64') }));
    const result = await world.fleet(gateway(), { home: world.nodeHome('careful') });
    assert.equal(result.code, 78);
    assert.match(result.stderr, /host key/);
  });

  it('lets ephemeral nodes in by one code, and forgets one that says goodbye', async () => {
    const { code } = await world.json<{ code: string }>([
      ...['invite', '--uses', '100', '--ttl', '30d', '--ephemeral', '--json'],
    ]);
    const [first] = await Promise.all(
      ['pod-1', 'pod-2'].map((name) => world.resumeNode(name, '--code', code, '--name', name)),
    );
    const home = world.nodeHome('pod-1');
    assert.equal((await world.fleet(['node', 'down', '--forget'], { home })).code, 0);
    assert.equal((await first?.exited)?.code, 0);
    const names = (await world.json<{ name: string }[]>(['nodes', '--json'])).map(({ name }) => name);
    assert.deepEqual(
      ['pod-1', 'pod-2'].map((name) => names.includes(name)),
      [false, true],
    );
    assert.deepEqual(await world.json(['nodes', 'pending', '--json']), []);
    // What it was is over; the same code lets it in as somebody new.
    await world.resumeNode('pod-1', '--code', code, '--name', 'pod-1');
    assert.equal((await world.fleet(['run', 'pod-1', 'echo back'])).text, 'back\n');
    assert.equal((await world.fleet(['node', 'down', '--forget'], { home: world.nodeHome('none') })).code, 255);
  });

  it('renames, labels and removes nodes', async () => {
    await world.startNode('old-name');
    assert.equal((await world.fleet(['nodes', 'rename', 'old-name', 'new-name'])).code, 0);
    assert.equal((await world.fleet(['nodes', 'label', 'new-name', 'role=db', 'zone=eu'])).code, 0);
    assert.equal((await world.fleet(['nodes', 'label', 'new-name', 'zone-'])).code, 0);
    const [node] = await world.json<{ name: string; labels: object }[]>(['nodes', '--label', 'role=db', '--json']);
    assert.deepEqual([node?.name, node?.labels], ['new-name', { role: 'db' }]);
    assert.equal((await world.fleet(['run', 'new-name', 'echo $FLEET_NODE'])).text, 'new-name\n');
    assert.equal((await world.fleet(['nodes', 'rm', 'new-name'])).code, 0);
    const names = (await world.json<{ name: string }[]>(['nodes', '--json'])).map(({ name }) => name);
    assert.ok(!names.includes('new-name'));
  });
});
