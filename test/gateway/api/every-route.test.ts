/**
 * Every route of the real gateway, asked by every role over a real SSH connection. The gateway itself registers the routes, so
 * no new one can be forgotten.
 */
import assert from 'node:assert/strict';
import { generateKeyPairSync } from 'node:crypto';
import { type TestContext, test } from 'node:test';
import { GATEWAY_API } from '../../../src/domain/limits.ts';
import { type CallerRole, isAllowed, PERMISSIONS } from '../../../src/gateway/identity/permissions.ts';
import { ROUTES } from '../../../src/protocol/routes.ts';
import { systemClock } from '../../../src/shared/clock.ts';
import type { FleetError } from '../../../src/shared/errors.ts';
import { openRequest, type RequestOptions } from '../../../src/shared/http/request.ts';
import { createStreamAgent } from '../../../src/shared/http/streams.ts';
import { silentLogger } from '../../../src/shared/logger.ts';
import { connectSsh } from '../../../src/shared/ssh/connection/connect.ts';
import { encodeOpenSshPrivateKey } from '../../../src/shared/ssh/ssh-key.ts';
import { type TestGateway, TestMachine } from '../../node/tunnel/real-gateway.ts';
import { TestPerson } from '../../support/person.ts';
import { cleanUp } from '../../support/temp-folder.ts';
import { type Route, startWithRoutes } from './route-list.ts';

type Send = Pick<RequestOptions, 'agent' | 'headers'>;

function newKey(): string {
  const { d = '', x = '' } = generateKeyPairSync('ed25519').privateKey.export({ format: 'jwk' });
  const [seed, publicKey] = [d, x].map((text) => Buffer.from(text, 'base64url'));
  return encodeOpenSshPrivateKey({
    seed: seed ?? Buffer.alloc(0),
    publicKey: publicKey ?? Buffer.alloc(0),
    comment: '',
  });
}

async function connectAs(t: TestContext, port: number, privateKey: string, token: string | undefined): Promise<Send> {
  const connection = await connectSsh({
    host: '127.0.0.1',
    port,
    user: 'x',
    privateKey,
    verifyHostKey: () => undefined,
    clock: systemClock,
    logger: silentLogger,
  });
  const agent = createStreamAgent(() => connection.openDirect(GATEWAY_API.host, GATEWAY_API.port));
  cleanUp(t, () => {
    agent.destroy();
    connection.close();
  });
  return { agent, headers: token === undefined ? {} : { authorization: `Bearer ${token}` } };
}

async function sendAs(t: TestContext, gateway: TestGateway, role: CallerRole): Promise<Send> {
  if (role === 'unknown') return await connectAs(t, gateway.port, newKey(), undefined);
  if (role === 'node') {
    const machine = new TestMachine(t);
    const { connection, client } = await machine.open(gateway.port, { code: await gateway.invite() });
    const agent = createStreamAgent(() => connection.openDirect(GATEWAY_API.host, GATEWAY_API.port));
    cleanUp(t, () => agent.destroy());
    return { agent, headers: { authorization: `Bearer ${client.token}` } };
  }
  const person = new TestPerson(t);
  await person.login(gateway.port, await gateway.invite({ role, name: role }));
  return await person.transport(gateway.port).route();
}

/** What came of it: `undefined` for an answer that was no refusal. */
async function ask(send: Send, { method, url }: Route): Promise<FleetError | undefined> {
  const path = url.replace(/:\w+/g, 'missing');
  try {
    const answer = await openRequest({ ...send, method: method as RequestOptions['method'], path });
    answer.destroy();
    return undefined;
  } catch (error) {
    return error as FleetError;
  }
}

test('every route lets in exactly the roles of its action', { timeout: 120_000 }, async (t) => {
  const { gateway, routes } = await startWithRoutes(t);
  // Who may do it is gone afterwards.
  routes.sort((a, b) => Number(a.url === '/v1/node/leave') - Number(b.url === '/v1/node/leave'));
  assert.deepEqual(
    new Set(routes.map(({ method, url }) => `${method} ${url}`)),
    new Set<string>(Object.keys(ROUTES)),
    'the gateway serves the table, and nothing else',
  );
  assert.deepEqual(new Set(routes.map(({ action }) => action)), new Set(Object.keys(PERMISSIONS)));
  for (const role of ['unknown', 'node', 'viewer', 'operator', 'admin'] as const satisfies CallerRole[]) {
    const send = await sendAs(t, gateway, role);
    for (const route of routes) {
      const failure = await ask(send, route);
      const what = `${role}: ${route.method} ${route.url}: ${failure?.code} ${failure?.message}`;
      if (isAllowed(role, route.action)) {
        assert.ok(!['forbidden', 'not_paired', 'key_revoked', 'token_invalid'].includes(failure?.code ?? ''), what);
      } else if (role === 'unknown') assert.equal(failure?.code, 'not_paired', what);
      else {
        assert.equal(failure?.code, 'forbidden', what);
        assert.match(failure?.message ?? '', new RegExp(`permission denied: requires ${route.action}$`), what);
      }
    }
  }
});

test('a node or person whose key is revoked may do nothing any more, and hears why', { timeout: 60_000 }, async (t) => {
  const { gateway, routes } = await startWithRoutes(t);
  const person = new TestPerson(t);
  await person.login(gateway.port, await gateway.invite({ role: 'admin', name: 'anna' }));
  const { headers } = await person.transport(gateway.port).route();
  await gateway.api('POST', '/v1/keys/anna/revoke');
  const key = await (await import('node:fs/promises')).readFile(person.paths.key, 'utf8');
  const send = { ...(await connectAs(t, gateway.port, key, undefined)), headers };
  for (const route of routes) {
    assert.equal((await ask(send, route))?.code, 'key_revoked', `${route.method} ${route.url}`);
  }
});
