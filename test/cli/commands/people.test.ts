import assert from 'node:assert/strict';
import { mkdirSync } from 'node:fs';
import path from 'node:path';
import { afterEach, beforeEach, describe, test } from 'node:test';
import type { LoginOptions } from '../../../src/cli/context/services.ts';
import type { KeyView, OpenInviteView } from '../../../src/protocol/views.ts';
import { FleetError } from '../../../src/shared/errors.ts';
import { FakeGateway, fail, json } from '../../client/fake-gateway.ts';
import { TestWorld } from '../test-world.ts';

const ANNA: KeyView = {
  kind: 'person',
  id: 'kcx3q1jy6z2b',
  name: 'anna',
  role: 'operator',
  fingerprint: 'SHA256:x',
  createdAt: '2026-01-01T00:00:00.000Z',
  lastSeenAt: '2026-01-01T00:00:30.000Z',
  connected: false,
  revokedAt: null,
};
const BOB: KeyView = { ...ANNA, id: 'b', name: 'bob', role: 'viewer', revokedAt: '2026-01-01T00:00:40.000Z' };
const WEB: KeyView = { ...ANNA, kind: 'node', id: 'w', name: 'web', role: 'node', connected: true };
const INVITE: OpenInviteView = {
  id: '7k3f',
  role: 'node',
  name: null,
  labels: { site: 'berlin' },
  ephemeral: true,
  usesLeft: 99,
  failures: 2,
  createdAt: '2026-01-01T00:00:00.000Z',
  createdBy: 'anna',
  expiresAt: '2026-01-31T00:00:00.000Z',
};

describe('people, keys and invites', { timeout: 20_000 }, () => {
  let gateway: FakeGateway;
  let world: TestWorld;
  beforeEach(async () => {
    gateway = await new FakeGateway().listen();
    world = new TestWorld(gateway.home);
    world.clock = { ...world.clock, now: () => Date.UTC(2026, 0, 1, 0, 1) };
  });
  afterEach(() => gateway.close());

  test('keys list shows who may come in; --all also who no longer may', async () => {
    gateway.on('GET /v1/keys', json({ keys: [ANNA, BOB, WEB] }));
    const { stdout } = await world.run('keys', 'list');
    assert.deepEqual(
      stdout
        .trimEnd()
        .split('\n')
        .map((line) => line.split(/ {2,}/)),
      [
        ['NAME', 'ROLE', 'FINGERPRINT', 'CREATED', 'LAST SEEN', 'ID'],
        ['anna', 'operator', 'SHA256:x', '1m ago', '30s ago', 'kcx3q1jy6z2b'],
        ['web', 'node', 'SHA256:x', '1m ago', 'connected', 'w'],
      ],
    );
    const all = await world.run('keys', 'list', '--all', '--kind', 'person', '--json');
    assert.deepEqual(JSON.parse(all.stdout), [ANNA, BOB]);
    assert.match((await world.run('keys', 'list', '--all')).stdout, /bob +viewer \(revoked\)/);
  });

  test('keys revoke asks for exactly that key', async () => {
    const route = '/v1/keys/SHA256%3Aa%2Fb/revoke';
    gateway.on(`POST ${route}`, json({ ...ANNA, revokedAt: 'now' }));
    assert.equal((await world.run('keys', 'revoke', 'SHA256:a/b')).stdout, 'the key of person anna is revoked\n');
    gateway.on('POST /v1/keys/x/revoke', fail(403, 'forbidden', 'permission denied: requires keys.manage'));
    assert.equal((await world.run('keys', 'revoke', 'x')).exitCode, 77);
  });

  test('invites list and revoke', async () => {
    gateway.on('GET /v1/invites', json({ invites: [INVITE] }), json({ invites: [] }));
    const { stdout } = await world.run('invites', 'list');
    assert.match(stdout, /^7k3f +node \(ephemeral\) +- +99 +2 +site=berlin +anna +1m ago +2026-01-31 00:00$/m);
    assert.equal((await world.run('invites', 'list')).stderr, 'There are no open invites. Create one: fleet invite\n');
    gateway.on('DELETE /v1/invites/7k3f', (response) => void response.writeHead(204).end());
    for (const which of ['7k3f', '7K3F-9m2q-x0zt-4hcv']) {
      assert.equal((await world.run('invites', 'revoke', which)).stdout, 'invite 7k3f is revoked\n');
    }
  });

  test('login passes on what was typed, and says who one is now', async () => {
    const asked: LoginOptions[] = [];
    const result = {
      gateway: 'gw:18790',
      name: 'anna',
      role: 'operator',
      fingerprint: 'SHA256:k',
      hostKeyFingerprint: 'SHA256:h',
      expiresAt: '2026-01-02T00:00:00.000Z',
      isDefault: true,
    };
    world.services.login = async (options) => {
      asked.push(options);
      return result;
    };
    world.env.USER = 'Anna Miller';
    const { stdout, stderr } = await world.run('login', 'gw', '--code', 'c');
    assert.deepEqual([stdout, stderr], ['logged in to gw:18790 as anna (operator)\n', '']);
    assert.deepEqual(asked.at(-1), {
      home: gateway.home,
      gateway: 'gw',
      code: 'c',
      name: undefined,
      suggestedName: 'anna-miller',
      keyComment: 'anna-miller@this-machine (fleet)',
    });
    world.env.FLEET_GATEWAY = 'env-gw';
    world.env.FLEET_CODE = 'env-code';
    assert.deepEqual(JSON.parse((await world.run('login', '--name', 'a', '--json')).stdout), result);
    assert.deepEqual([asked.at(-1)?.gateway, asked.at(-1)?.code, asked.at(-1)?.name], ['env-gw', 'env-code', 'a']);
    mkdirSync(path.join(gateway.home, 'gateway'));
    assert.match((await world.run('login')).stderr, /gateway of its own; .* --gateway gw:18790/);
  });

  test('login and logout end with the code of what went wrong', async () => {
    world.services.login = async () => {
      throw new FleetError('key_revoked', 'the key of anna was revoked on the gateway');
    };
    assert.equal((await world.run('login', 'gw')).exitCode, 77);
    world.services.logout = async ({ gateway: name }) => name ?? 'the default';
    assert.equal((await world.run('logout')).stdout, 'logged out of the default\n');
    assert.deepEqual(JSON.parse((await world.run('logout', 'gw', '--json')).stdout), { gateway: 'gw' });
  });
});
