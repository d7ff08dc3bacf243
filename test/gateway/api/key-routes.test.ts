import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { type TestContext, test } from 'node:test';
import type { PersonRole } from '../../../src/domain/vocabulary.ts';
import type { KeyView, OpenInviteView } from '../../../src/protocol/views.ts';
import { settle } from '../../support/deadline.ts';
import { peerOf, testApi } from './harness.ts';

async function testPeople(t: TestContext) {
  const api = await testApi(t);
  /** A person who is connected, and a client that has their token. */
  const addPerson = async (name: string, role: PersonRole) => {
    const publicKey = randomBytes(32);
    const id = `id-${name}`;
    await api.store.write(() => api.store.people.insert({ id, name, role, publicKey, createdAt: 1 }));
    const peer = peerOf(publicKey);
    api.people.open({ id, name }, peer);
    const { token } = await api.tokens.issue({ subject: id, role, publicKey });
    return { id, peer, token, client: api.connect({ kind: 'ssh', peer }, token) };
  };
  const keys = async (): Promise<KeyView[]> => (await api.admin.json<{ keys: KeyView[] }>('GET', '/v1/keys')).keys;
  return { ...api, addPerson, keys };
}

test('keys of people and nodes in one list, with what is known of them', async (t) => {
  const api = await testPeople(t);
  const node = await api.addNode('web');
  const { peer } = await api.addPerson('anna', 'operator');
  const [anna, web] = await api.keys();
  assert.deepEqual(
    [anna, web].map((key) => [key?.kind, key?.name, key?.role, key?.connected, key?.revokedAt]),
    [
      ['person', 'anna', 'operator', true, null],
      ['node', 'web', 'node', false, null],
    ],
  );
  assert.match(anna?.fingerprint ?? '', /^SHA256:[\w+/]{43}$/);
  assert.equal(web?.id, node.id);
  peer.close('left');
  await settle();
  assert.equal((await api.keys())[0]?.connected, false);
  assert.notEqual((await api.keys())[0]?.lastSeenAt, null);
});

test('revoking cuts all connections of that person and of nobody else', async (t) => {
  const api = await testPeople(t);
  const anna = await api.addPerson('anna', 'admin');
  const bob = await api.addPerson('bob', 'admin');
  const { fingerprint = '' } = (await api.keys())[0] ?? {};
  await bob.client.json('POST', `/v1/keys/${encodeURIComponent(fingerprint)}/revoke`);
  assert.deepEqual([anna.peer.endings, bob.peer.endings], [['revoked'], []]);
  await assert.rejects(anna.client.json('GET', '/v1/nodes'), { code: 'key_revoked' });
  assert.notEqual((await api.keys())[0]?.revokedAt, null);
});

test('who revokes the own key hears that it worked, and is cut then', async (t) => {
  const api = await testPeople(t);
  const anna = await api.addPerson('anna', 'admin');
  const view = await anna.client.json<KeyView>('POST', '/v1/keys/anna/revoke');
  assert.notEqual(view.revokedAt, null);
  await settle();
  assert.deepEqual(anna.peer.endings, ['revoked']);
});

test('a key is found by name, id, its beginning or fingerprint, and never by guess', async (t) => {
  const api = await testPeople(t);
  await api.addPerson('web', 'viewer');
  await api.addNode('db');
  await api.addNode('db-2');
  const revoke = (which: string) => api.admin.json<KeyView>('POST', `/v1/keys/${encodeURIComponent(which)}/revoke`);
  await assert.rejects(revoke('nobody'), { code: 'not_found' });
  await assert.rejects(revoke('id-d'), { code: 'ambiguous' });
  assert.equal((await revoke('id-db-')).name, 'db-2');
  assert.equal((await revoke('id-db')).name, 'db', 'a whole id leaves other prefixes out');
  await assert.rejects(revoke('db'), { code: 'not_found' }, 'it is revoked already');
  await api.addNode('web-node');
  await api.admin.json('PATCH', '/v1/nodes/web-node', { name: 'web' });
  await assert.rejects(revoke('web'), { code: 'ambiguous' });
  assert.equal((await revoke('id-web')).kind, 'person');
});

test('the role is that of now, not that of the token', async (t) => {
  const api = await testPeople(t);
  const anna = await api.addPerson('anna', 'admin');
  assert.ok(await anna.client.json('GET', '/v1/keys'));
  api.store.people.setRole({ id: anna.id, role: 'viewer' });
  await assert.rejects(anna.client.json('GET', '/v1/keys'), { code: 'forbidden' });
});

test('a token serves the key that it was made for and no other', async (t) => {
  const api = await testPeople(t);
  const anna = await api.addPerson('anna', 'admin');
  const bob = await api.addPerson('bob', 'viewer');
  const stolen = api.connect({ kind: 'ssh', peer: bob.peer }, anna.token);
  await assert.rejects(stolen.json('GET', '/v1/keys'), { code: 'token_invalid' });
  await assert.rejects(api.connect({ kind: 'ssh', peer: anna.peer }).json('GET', '/v1/keys'), {
    code: 'token_invalid',
  });
});

test('invites are listed without their secret while they can be used, and taken back', async (t) => {
  const api = await testPeople(t);
  const anna = await api.addPerson('anna', 'admin');
  const body = { role: 'node', ttlMs: 3_600_001, uses: 100, labels: { a: 'b' }, ephemeral: true };
  const { code } = await anna.client.json<{ code: string }>('POST', '/v1/invites', body);
  assert.equal(code.replaceAll('-', '').length, 28, 'what lives for more than an hour has a long secret');
  const list = async () => (await api.admin.json<{ invites: OpenInviteView[] }>('GET', '/v1/invites')).invites;
  const [invite, ...others] = await list();
  assert.deepEqual(others, []);
  assert.ok(invite);
  assert.deepEqual(
    Object.keys(invite).filter((key) => /secret|code/.test(key)),
    [],
  );
  const { id, role, usesLeft, failures, createdBy, labels, ephemeral } = invite;
  assert.deepEqual(
    { id, role, usesLeft, failures, createdBy, labels, ephemeral },
    {
      id: code.slice(0, 4),
      role: 'node',
      usesLeft: 100,
      failures: 0,
      createdBy: 'anna',
      labels: { a: 'b' },
      ephemeral: true,
    },
  );
  await api.admin.json('DELETE', `/v1/invites/${id}`);
  assert.deepEqual(await list(), []);
  await assert.rejects(api.admin.json('DELETE', `/v1/invites/${id}`), { code: 'not_found' });
  for (const wrong of [
    { ...body, role: 'viewer' },
    { ...body, role: 'viewer', labels: {} },
  ]) {
    await assert.rejects(api.admin.json('POST', '/v1/invites', wrong), { code: 'usage' });
  }
});

test('a token of before a key was forgotten is void, also when the key is let in again', async (t) => {
  const api = await testPeople(t);
  const node = await api.addNode('web');
  await api.admin.json('DELETE', '/v1/nodes/web');
  const { publicKey } = node;
  await api.store.write(() =>
    api.store.nodes.insert({ id: 'new', name: 'web', publicKey, ownLabels: {}, labels: {}, facts: null, createdAt: 1 }),
  );
  await assert.rejects(node.client.json('POST', '/v1/node/hello', {}), { code: 'token_invalid' });
});

test('the audit log tells of keys, invites, and nodes that go by themselves', async (t) => {
  const api = await testPeople(t);
  const anna = await api.addPerson('anna', 'admin');
  const body = { role: 'viewer', ttlMs: 1000, uses: 1, labels: {} };
  const { code } = await anna.client.json<{ code: string }>('POST', '/v1/invites', body);
  await anna.client.json('DELETE', `/v1/invites/${code.slice(0, 4)}`);
  const node = await api.addNode('web');
  await api.sessions.accept(node, node.peer);
  await node.client.json('POST', '/v1/node/leave', {});
  await anna.client.json('POST', '/v1/keys/anna/revoke');
  const { lines } = await api.admin.json<{ lines: string[] }>('GET', '/v1/audit');
  const rows = lines.map((line) => JSON.parse(line) as { action: string; actor: { name: string; key: string | null } });
  const told = rows.map(({ action, actor }) => `${action} ${actor.name} ${actor.key?.startsWith('SHA256:')}`).sort();
  assert.deepEqual(told, [
    'invite.create anna true',
    'invite.revoke anna true',
    'key.revoke anna true',
    'node.leave web true',
  ]);
});
