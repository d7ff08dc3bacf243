import assert from 'node:assert/strict';
import { afterEach, beforeEach, describe, test } from 'node:test';
import { doubtOf, gatewayAddress } from '../../../src/cli/commands/invites.ts';
import type { GatewayView } from '../../../src/protocol/views.ts';
import { type Answer, FakeGateway, json } from '../../client/fake-gateway.ts';
import { FakeClock } from '../../support/fake-clock.ts';
import { TestWorld } from '../test-world.ts';

const VIEW: GatewayView = {
  version: '0.1.0',
  pid: 77,
  startedAt: '2026-01-01T00:00:00.000Z',
  listen: { host: '0.0.0.0', port: 18_790 },
  advertise: null,
  api: null,
  hostKeyFingerprint: 'SHA256:abc',
  nodes: { paired: 3, connected: 2, pending: 1 },
  runs: { open: 4 },
  config: { readAt: '2026-01-01T00:00:00.000Z', fault: null, restartNeeded: [] },
};

describe('fleet gateway and fleet invite', { timeout: 20_000 }, () => {
  let gateway: FakeGateway;
  let world: TestWorld;
  beforeEach(async () => {
    gateway = await new FakeGateway().listen();
    world = new TestWorld(gateway.home);
  });
  afterEach(() => gateway.close());

  test('status tells what runs, and fails when nothing does', async () => {
    gateway.on('GET /v1/gateway', json(VIEW));
    const { stdout } = await world.run('gateway', 'status');
    assert.match(stdout, /ssh: +0\.0\.0\.0:18790\n/);
    assert.match(stdout, /nodes: +2 of 3 connected, 1 pending\n/);
    assert.deepEqual(JSON.parse((await world.run('gateway', 'status', '--json')).stdout), VIEW);
    await gateway.stop();
    const { exitCode, stderr } = await world.run('gateway', 'status');
    assert.equal(exitCode, 255);
    assert.match(stderr, /no gateway is running/);
  });

  test('status tells which configuration is in force, and what is wrong with the file', async () => {
    const readAt = new Date(world.clock.now() - 300_000).toISOString();
    const config = { readAt, fault: 'gateway.alerts: wrong', restartNeeded: ['listen', 'ssh.loginGrace'] };
    gateway.on('GET /v1/gateway', json({ ...VIEW, config }));
    const { stdout } = await world.run('gateway', 'status');
    const said =
      'read 5m ago, needs a restart: listen, ssh.loginGrace; INVALID since then, and not in effect: gateway.alerts: wrong';
    assert.match(stdout, new RegExp(`config: +${said}\\n`));
  });

  test('reload says what counts now and what does not, and fails with the reason', async () => {
    const view = { changed: ['alerts.rules', 'alerts.notify'], restartNeeded: ['listen'] };
    const fault = { error: { code: 'config_invalid', message: 'the configuration is wrong: gateway.x: no' } };
    gateway.on(
      'POST /v1/gateway/reload',
      json(view),
      json({ changed: [], restartNeeded: [] }),
      json(view),
      json(fault, 400),
    );
    assert.equal(
      (await world.run('gateway', 'reload')).stdout,
      'in effect: alerts.rules, alerts.notify\nneeds a restart: listen\n',
    );
    assert.equal((await world.run('gateway', 'reload')).stdout, 'no change took effect\n');
    assert.deepEqual(JSON.parse((await world.run('gateway', 'reload', '--json')).stdout), view);
    const { exitCode, stderr } = await world.run('gateway', 'reload');
    assert.deepEqual([exitCode, stderr], [78, 'fleet: the configuration is wrong: gateway.x: no\n']);
  });

  test('down waits until the process is gone', async () => {
    const clock = new FakeClock();
    world.clock = clock;
    let looks = 0;
    world.isAlive = (pid) => pid === 77 && ++looks < 4;
    gateway.on('POST /v1/gateway/shutdown', json({ pid: 77 }, 202));
    let isOver = false;
    const down = world.run('gateway', 'down').finally(() => {
      isOver = true;
    });
    while (!isOver) {
      await new Promise((resolve) => setTimeout(resolve, 1));
      await clock.advance(25);
    }
    assert.deepEqual(await down.then(({ exitCode, stderr }) => [exitCode, stderr]), [0, '']);
    assert.equal(looks, 4);
  });

  test('down does not wait for ever', async () => {
    const clock = new FakeClock();
    world.clock = clock;
    world.isAlive = () => true;
    gateway.on('POST /v1/gateway/shutdown', json({ pid: 77 }, 202));
    let isOver = false;
    const down = world.run('gateway', 'down').finally(() => {
      isOver = true;
    });
    while (!isOver) {
      await new Promise((resolve) => setTimeout(resolve, 1));
      await clock.advance(1000);
    }
    const { exitCode, stderr } = await down;
    assert.equal(exitCode, 255);
    assert.match(stderr, /the gateway \(pid 77\) has not stopped within 30 s/);
  });

  test('down asks again when the connection is cut: somebody else ends the gateway at this moment', async () => {
    const cut: Answer = (response) => void response.socket?.destroy();
    gateway.on('POST /v1/gateway/shutdown', cut, cut, json({ pid: 77 }, 202));
    world.isAlive = () => false;
    const { exitCode, stdout } = await world.run('gateway', 'down', '--json');
    assert.deepEqual([exitCode, stdout, gateway.seen.length], [0, '{"pid":77}\n', 3]);
  });

  test('down of a gateway that is gone before it answers is fine', async () => {
    gateway.on('POST /v1/gateway/shutdown', () => gateway.stop());
    const { exitCode, stderr } = await world.run('gateway', 'down');
    assert.deepEqual([exitCode, stderr], [0, `no gateway is running in ${gateway.home}\n`]);
  });

  test('down when it is down is fine', async () => {
    await gateway.stop();
    assert.deepEqual(await world.run('gateway', 'down').then(({ exitCode, stderr }) => [exitCode, stderr]), [
      0,
      `no gateway is running in ${gateway.home}\n`,
    ]);
    assert.equal((await world.run('gateway', 'down', '--json')).stdout, '{"pid":null}\n');
  });

  test('what invite prints can be pasted into a shell, and it says when the address may not do', async () => {
    gateway.on('POST /v1/invites', json({ code: 'aaaa-bbbb-cccc-dddd', expiresAt: '2026-01-01T00:05:00.000Z' }));
    gateway.on('GET /v1/gateway', json({ ...VIEW, advertise: null, listen: { host: '::1', port: 18_790 } }));
    const doubtful = await world.run('invite');
    assert.match(
      doubtful.stdout,
      /\n {2}fleet node up --gateway '\[::1\]:18790' --code aaaa-bbbb-cccc-dddd --detach\n/,
    );
    assert.match(doubtful.stderr, /::1 is only reachable from this machine\n.*gateway\.advertise/);
  });

  test('invite prints the code and the whole command', async () => {
    gateway.on('GET /v1/gateway', json({ ...VIEW, advertise: 'gw.example.org' }));
    gateway.on('POST /v1/invites', json({ code: 'aaaa-bbbb-cccc-dddd', expiresAt: '2026-01-01T00:05:00.000Z' }));
    const options = ['--name', 'pi', '--ttl', '1h', '--uses', '3', '--label', 'a=b', '--role', 'node'];
    const { stdout } = await world.run('invite', ...options);
    const command = 'fleet node up --gateway gw.example.org --code aaaa-bbbb-cccc-dddd --detach';
    assert.equal(stdout, `aaaa-bbbb-cccc-dddd\n\n  ${command}\n\n`);
    assert.deepEqual(gateway.seen[0]?.body, {
      role: 'node',
      ttlMs: 3_600_000,
      uses: 3,
      labels: { a: 'b' },
      name: 'pi',
    });
    assert.deepEqual(JSON.parse((await world.run('invite', '--json')).stdout), {
      code: 'aaaa-bbbb-cccc-dddd',
      expiresAt: '2026-01-01T00:05:00.000Z',
      command,
    });
    const person = await world.run('invite', '--role', 'operator', '--ephemeral', '--json');
    assert.equal(JSON.parse(person.stdout).command, 'fleet login gw.example.org --code aaaa-bbbb-cccc-dddd');
    const body = gateway.requestsTo('POST /v1/invites').at(-1)?.body;
    assert.deepEqual(body, { role: 'operator', ttlMs: 300_000, uses: 1, labels: {}, ephemeral: true });
    for (const args of [
      ['--role', 'root'],
      ['--uses', '0'],
      ['--ttl', 'x'],
      ['--label', 'x'],
    ]) {
      assert.equal((await world.run('invite', ...args)).exitCode, 2, args.join(' '));
    }
  });
});

test('an address that other machines may not know is printed with a warning that names the remedy', () => {
  for (const address of ['vps', 'vps:2222', 'localhost', '127.0.0.1', '[::1]:18790', 'nas.local', 'pi.lan:22'])
    assert.match(doubtOf(address, 1)?.hint ?? '', /gateway\.advertise/, address);
  for (const address of ['gw.example.org', 'gw.example.org:2222', '192.0.2.1', '[2001:db8::1]:22'])
    assert.equal(doubtOf(address, 1), undefined, address);
});

test('the address of an invite is as short as it can be', () => {
  const elsewhere = { advertise: null, listen: { host: '0.0.0.0', port: 18_790 } };
  assert.equal(gatewayAddress(elsewhere, 'laptop', 'anna@gw.example.org:2222'), 'gw.example.org:2222');
  const cases: [string | null, string, number, string][] = [
    [null, '0.0.0.0', 18_790, 'this-machine'],
    [null, '::', 2222, 'this-machine:2222'],
    [null, '192.0.2.1', 18_790, '192.0.2.1'],
    [null, '::1', 18_790, '[::1]:18790'],
    ['gw.example.org', '0.0.0.0', 18_790, 'gw.example.org'],
    ['gw.example.org', '0.0.0.0', 2222, 'gw.example.org:2222'],
    ['gw.example.org:22', '0.0.0.0', 18_790, 'gw.example.org:22'],
  ];
  for (const [advertise, host, port, expected] of cases) {
    assert.equal(gatewayAddress({ advertise, listen: { host, port } }, 'this-machine'), expected);
  }
});
