import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { test } from 'node:test';
import { createApi } from '../../../src/gateway/api/api.ts';
import type { Authenticator } from '../../../src/gateway/api/authenticate.ts';
import { type Caller, Origins } from '../../../src/gateway/api/authenticate.ts';
import { type Action, type CallerRole, isAllowed, PERMISSIONS } from '../../../src/gateway/identity/permissions.ts';
import { systemClock } from '../../../src/shared/clock.ts';
import type { RequestOptions } from '../../../src/shared/http/request.ts';
import { silentLogger } from '../../../src/shared/logger.ts';
import { testGateway } from '../identity/fixtures.ts';
import { API_TOKEN, peerOf, testApi } from './harness.ts';

/** Lets everybody be who the test says. */
function authenticatorOf(caller: () => Caller): Authenticator {
  return { identify: async () => caller() } as unknown as Authenticator;
}

test('a route that names no action cannot be added', (t) => {
  const { store } = testGateway(t);
  const app = createApi({
    authenticator: authenticatorOf(() => assert.fail()),
    origins: new Origins(),
    clock: systemClock,
    logger: silentLogger,
    audit: store.audit,
    refusals: { note: () => undefined },
  });
  assert.throws(() => app.get('/v1/anything', () => 'x'), /names no action/);
});

test('every action has a route, and every route may be used by exactly the roles of its action', async (t) => {
  let caller: Caller = { role: 'admin', name: 'x' };
  const api = await testApi(t, { authenticator: authenticatorOf(() => caller) });
  const routes = api.routes.filter(({ method }) => method !== 'HEAD');
  assert.deepEqual(new Set(routes.map(({ action }) => action)), new Set(Object.keys(PERMISSIONS)));
  assert.ok(routes.length > 15);
  const client = api.connect({ kind: 'socket' });
  for (const role of ['unknown', 'node', 'viewer', 'operator', 'admin'] as const satisfies CallerRole[]) {
    caller = { role, name: role, nodeId: 'nobody', peer: peerOf(randomBytes(32)) };
    for (const { method, url, action } of routes) {
      const path = url.replace(/:\w+/g, 'missing');
      const failure = await client.json(method as RequestOptions['method'], path).then(
        () => undefined,
        (error: Error & { code: string }) => error,
      );
      const refused = failure?.code === 'forbidden' && failure.message.startsWith('permission denied');
      assert.equal(refused, !isAllowed(role, action as Action), `${role}: ${method} ${url}: ${failure?.message}`);
    }
  }
  assert.equal(api.shutdowns(), 1, 'only the admin has ended the gateway');
});

test('who comes over which connection: the socket is the admin, TCP needs the token, anything else is nobody', async (t) => {
  const api = await testApi(t);
  assert.ok(await api.connect({ kind: 'socket' }).json('GET', '/v1/nodes'));
  assert.ok(await api.connect({ kind: 'tcp' }, API_TOKEN).json('GET', '/v1/nodes'));
  for (const token of [undefined, '', 'wrong', `${API_TOKEN} `.repeat(2), API_TOKEN.slice(1)]) {
    await assert.rejects(api.connect({ kind: 'tcp' }, token).json('GET', '/v1/nodes'), { code: 'token_invalid' });
  }
  await assert.rejects(api.connect(undefined, API_TOKEN).json('GET', '/v1/nodes'), { code: 'forbidden' });
  const injected = await api.app.inject({
    method: 'GET',
    url: '/v1/nodes',
    headers: { authorization: `Bearer ${API_TOKEN}` },
  });
  assert.equal(injected.statusCode, 403);
});

test('an unknown key may only pair; a node only speaks for itself, and only with a token that is its own', async (t) => {
  const api = await testApi(t);
  const node = await api.addNode('a');
  const other = await api.addNode('b');
  const peer = peerOf(randomBytes(32));
  const unknown = api.connect({ kind: 'ssh', peer }, node.token);
  const asked = {
    publicKey: peer.publicKey.toString('base64url'),
    nonce: randomBytes(32).toString('base64url'),
    protocol: 1,
  };
  assert.ok((await unknown.json<{ challenge: string }>('POST', '/v1/pair/challenge', asked)).challenge);
  for (const path of ['/v1/node/hello', '/v1/node/heartbeat', '/v1/jobs', '/v1/gateway/shutdown']) {
    await assert.rejects(unknown.json('POST', path, {}), { code: 'not_paired' }, path);
  }
  for (const [method, path] of [
    ['GET', '/v1/nodes'],
    ['POST', '/v1/jobs'],
    ['POST', '/v1/invites'],
    ['DELETE', '/v1/nodes/b'],
    ['POST', '/v1/nodes/b/revoke'],
    ['POST', '/v1/gateway/shutdown'],
  ] as const) {
    await assert.rejects(node.client.json(method, path, {}), { code: 'forbidden' }, path);
  }
  for (const token of [undefined, 'x', other.token, API_TOKEN]) {
    const client = api.connect({ kind: 'ssh', peer: node.peer }, token);
    await assert.rejects(client.json('POST', '/v1/node/hello', {}), { code: 'token_invalid' });
  }
  const stolen = api.connect({ kind: 'ssh', peer: other.peer }, node.token);
  await assert.rejects(stolen.json('POST', '/v1/node/hello', {}), { code: 'token_invalid' });
});

test('a token that was good is looked at again: when it expires, when its node is revoked or removed', async (t) => {
  const api = await testApi(t);
  const hello = (node: Awaited<ReturnType<typeof api.addNode>>) => node.client.json('POST', '/v1/node/hello', {});
  const expiring = await api.addNode('a');
  await assert.rejects(hello(expiring), { code: 'bad_request' }, 'the token is good, the body is not');
  api.clock.jumpWall(25 * 3_600_000);
  await assert.rejects(hello(expiring), { code: 'token_invalid' });
  const revoked = await api.addNode('b');
  await assert.rejects(hello(revoked), { code: 'bad_request' });
  await api.admin.json('POST', '/v1/nodes/b/revoke');
  await assert.rejects(hello(revoked), { code: 'key_revoked' });
  await assert.rejects(revoked.client.json('POST', '/v1/pair/challenge', {}), { code: 'key_revoked' });
  const removed = await api.addNode('c');
  await assert.rejects(hello(removed), { code: 'bad_request' });
  await api.admin.json('DELETE', '/v1/nodes/c');
  await assert.rejects(hello(removed), { code: 'key_revoked' });
});
