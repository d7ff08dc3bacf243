import assert from 'node:assert/strict';
import { createServer } from 'node:net';
import { type TestContext, test } from 'node:test';
import { Logins } from '../../src/remote/logins.ts';
import { systemClock } from '../../src/shared/clock.ts';
import { TestGateway } from '../node/tunnel/real-gateway.ts';
import { until } from '../support/deadline.ts';
import { TestPerson } from '../support/person.ts';
import { cleanUp } from '../support/temp-folder.ts';

const DAY_MS = 86_400_000;

async function loggedIn(t: TestContext, role = 'operator') {
  const gateway = await new TestGateway(t).start();
  const person = new TestPerson(t);
  await person.login(gateway.port, await gateway.invite({ role, name: 'anna' }));
  const address = { host: '127.0.0.1', port: gateway.port };
  const stored = () => new Logins(person.home).read(address);
  return { gateway, person, address, stored };
}

test('requests go over one connection, which is made again when the gateway comes back', {
  timeout: 60_000,
}, async (t) => {
  const { gateway, person } = await loggedIn(t);
  const client = person.client(gateway.port);
  assert.deepEqual(await client.nodes(), []);
  const view = await client.gateway();
  assert.equal(view.listen.port, gateway.port);
  await gateway.stop();
  // The first request may still find the end of the old connection.
  const codeOf = () =>
    client.nodes().then(
      () => '',
      (error: { code: string }) => error.code,
    );
  await until(async () => (await codeOf()) === 'gateway_unreachable', 'the gateway to be gone');
  await gateway.start();
  assert.deepEqual(await client.nodes(), []);
  client.close();
  client.close();
});

test('a token in the second half of its life is renewed before it is used, and kept', {
  timeout: 60_000,
}, async (t) => {
  const { gateway, person, stored } = await loggedIn(t);
  const before = stored();
  const later = { ...systemClock, now: () => Date.now() + 0.6 * DAY_MS };
  const transport = person.transport(gateway.port, later);
  const [{ headers }] = await Promise.all([transport.route(), transport.route()]);
  assert.ok(before && stored()?.token !== before.token);
  assert.equal(headers.authorization, `Bearer ${stored()?.token}`);
  // A clock that was set back tells nothing about the token's age.
  const back = { ...systemClock, now: () => Date.now() - DAY_MS };
  const old = stored()?.token;
  await person.transport(gateway.port, back).route();
  assert.notEqual(stored()?.token, old);
});

test('a token that the gateway does not take is renewed, once, and the request made again', {
  timeout: 60_000,
}, async (t) => {
  const { gateway, person, stored, address } = await loggedIn(t);
  const login = stored();
  assert.ok(login);
  new Logins(person.home).save({ ...login, gateway: address, token: 'void' });
  assert.deepEqual(await person.client(gateway.port).nodes(), []);
  assert.notEqual(stored()?.token, 'void');
});

test('a revoked key is told, its connection is cut at once, and no code helps it', {
  timeout: 60_000,
}, async (t) => {
  const { gateway, person } = await loggedIn(t);
  const client = person.client(gateway.port);
  const connected = async () => {
    const { keys } = await gateway.api<{ keys: { name: string; connected: boolean }[] }>('GET', '/v1/keys');
    return keys.find(({ name }) => name === 'anna')?.connected;
  };
  await client.nodes();
  await until(async () => (await connected()) === true, 'the person to be seen');
  await gateway.api('POST', '/v1/keys/anna/revoke');
  await until(
    async () => (await connected()) === undefined || (await connected()) === false,
    'the connection to be cut',
  );
  await assert.rejects(client.nodes(), { code: 'key_revoked' });
  await assert.rejects(person.login(gateway.port), { code: 'key_revoked' });
  await assert.rejects(person.login(gateway.port, await gateway.invite({ role: 'admin' })), { code: 'key_revoked' });
});

test('a changed host key is refused before anything is sent; a code of the new gateway makes it known', {
  timeout: 60_000,
}, async (t) => {
  const { gateway, person, stored, address } = await loggedIn(t);
  const login = stored();
  assert.ok(login);
  const other = await new TestGateway(t).start();
  new Logins(person.home).save({ ...login, gateway: { ...address, port: other.port } });
  await assert.rejects(person.client(other.port).nodes(), { code: 'host_key_changed' });
  await assert.rejects(person.login(other.port), { code: 'host_key_changed' });
  await assert.rejects(person.login(other.port, await gateway.invite({ role: 'viewer' })), { code: 'invite_invalid' });
  const { name, role } = await person.login(other.port, await other.invite({ role: 'viewer' }));
  assert.deepEqual([name, role], ['anna', 'viewer']);
  assert.deepEqual(await person.client(other.port).nodes(), []);
});

test('a home that has not logged in there, a gateway that is gone, and one that forgot the key', {
  timeout: 60_000,
}, async (t) => {
  const { gateway, person, stored, address } = await loggedIn(t);
  assert.throws(() => new TestPerson(t).transport(gateway.port), { code: 'not_paired' });
  await assert.rejects(new TestPerson(t).login(gateway.port), { code: 'not_paired' });
  const mute = createServer((socket) => void socket.on('error', () => undefined).end('HTTP/1.1 400\r\n'));
  await new Promise<void>((resolve) => mute.listen(0, '127.0.0.1', resolve));
  cleanUp(t, () => mute.close());
  const { port } = mute.address() as { port: number };
  const login = stored();
  assert.ok(login);
  new Logins(person.home).save({ ...login, gateway: { ...address, port } });
  await assert.rejects(person.client(port).nodes(), { code: 'gateway_unreachable' });
});
