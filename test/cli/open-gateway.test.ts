import assert from 'node:assert/strict';
import { mkdirSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { afterEach, beforeEach, describe, test } from 'node:test';
import { type GatewayTransport, UnixSocketTransport } from '../../src/client/transport.ts';
import type { GatewayView } from '../../src/protocol/views.ts';
import { FleetError } from '../../src/shared/errors.ts';
import { personPaths } from '../../src/shared/home.ts';
import { FakeGateway, fail, json, nodeView } from '../client/fake-gateway.ts';
import { TestWorld } from './test-world.ts';

const GATEWAY: GatewayView = {
  version: '1',
  pid: 1,
  startedAt: '2026-01-01T00:00:00.000Z',
  listen: { host: '::', port: 1 },
  api: null,
  advertise: null,
  hostKeyFingerprint: 'SHA256:abc',
  nodes: { paired: 0, connected: 0, pending: 0 },
  runs: { open: 0 },
  config: { readAt: '2026-01-01T00:00:00.000Z', fault: null, restartNeeded: [] },
};

describe('which gateway is meant', { timeout: 20_000 }, () => {
  let gateway: FakeGateway;
  let elsewhere: FakeGateway;
  let world: TestWorld;
  let opened: string[];
  let closed: number;
  let transport: Partial<GatewayTransport>;

  beforeEach(async () => {
    gateway = (await new FakeGateway().listen()).on('GET /v1/nodes', json({ nodes: [nodeView({ name: 'here' })] }));
    elsewhere = (await new FakeGateway().listen()).on('GET /v1/nodes', json({ nodes: [nodeView({ name: 'there' })] }));
    world = new TestWorld(gateway.home);
    opened = [];
    closed = 0;
    transport = {};
    world.services.openRemote = async ({ home, gateway: name }) => {
      assert.equal(home, gateway.home);
      opened.push(name);
      const socket = new UnixSocketTransport(elsewhere.socketPath);
      return {
        route: () => socket.route(),
        close: () => {
          closed += 1;
          socket.close();
        },
        ...transport,
      };
    };
  });
  afterEach(async () => {
    await gateway.close();
    await elsewhere.close();
  });

  const where = async (...argv: string[]): Promise<string> => {
    const { stdout, stderr } = await world.run(...argv, 'nodes', '--json');
    assert.equal(stderr, '');
    return (JSON.parse(stdout) as { name: string }[])[0]?.name ?? '';
  };
  const remember = (name: string): void => {
    const { folder, defaultGateway } = personPaths(gateway.home);
    mkdirSync(folder);
    writeFileSync(defaultGateway, `${name}\n`);
  };

  test('the socket of this home, unless another is named', async () => {
    assert.equal(await where(), 'here');
    assert.equal(await where('--gateway', 'anna@gw:22'), 'there');
    world.env.FLEET_GATEWAY = 'gw2';
    assert.equal(await where(), 'there');
    assert.equal(await where('--gateway', 'gw3'), 'there');
    assert.deepEqual(opened, ['anna@gw:22', 'gw2', 'gw3']);
  });

  test('the gateway of the last login, but not in a home with a gateway of its own', async () => {
    remember('gw.example.org:18790');
    assert.equal(await where(), 'there');
    assert.deepEqual(opened, ['gw.example.org:18790']);
    mkdirSync(path.join(gateway.home, 'gateway'));
    assert.equal(await where(), 'here');
  });

  test('one connection for a whole command, which is closed with it', async () => {
    elsewhere.on('POST /v1/invites', json({ code: 'c', expiresAt: '2026-01-01T00:05:00.000Z' }));
    elsewhere.on('GET /v1/gateway', json(GATEWAY));
    const { stdout } = await world.run('invite', '--gateway', 'anna@gw:22', '--json');
    assert.equal(
      (JSON.parse(stdout) as { command: string }).command,
      'fleet node up --gateway gw:22 --code c --detach',
    );
    assert.deepEqual([opened.length, closed], [1, 1]);
  });

  test('a refused token is renewed once, and only once', async () => {
    let renewals = 0;
    transport.renew = async () => {
      renewals += 1;
    };
    elsewhere.on('GET /v1/jobs', fail(401, 'token_invalid', 'too old'), json({ jobs: [] }));
    assert.equal((await world.run('--gateway', 'gw', 'jobs', '--json')).stdout, '[]\n');
    assert.equal(renewals, 1);
    elsewhere.on('GET /v1/health', fail(401, 'token_invalid', 'never'));
    await world.run('--gateway', 'gw', 'health');
    assert.deepEqual([renewals, elsewhere.requestsTo('GET /v1/health').length], [2, 2]);
  });

  test('what keeps a gateway elsewhere from being used is told with its exit code', async () => {
    world.services.openRemote = async () => {
      throw new FleetError('host_key_changed', 'another host key', { hint: 'Beware.' });
    };
    const { exitCode, stderr } = await world.run('--gateway', 'gw', 'run', 'n', 'true');
    assert.deepEqual([exitCode, stderr], [78, 'fleet: another host key\nBeware.\n']);
  });

  test('what is of this home only refuses another gateway', async () => {
    for (const command of ['up', 'down', 'logs']) {
      const { exitCode, stderr } = await world.run('gateway', command, '--gateway', 'gw');
      assert.equal(exitCode, 2, stderr);
    }
    assert.deepEqual(opened, []);
  });

  test('the completion asks the gateway that the line names', async () => {
    assert.equal((await world.run('__complete', '--', '--gateway', 'gw', 'run', '')).stdout, 'there\n');
    assert.equal((await world.run('__complete', '--', 'run', '')).stdout, 'here\n');
  });
});
