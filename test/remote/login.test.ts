import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { statSync } from 'node:fs';
import { test } from 'node:test';
import { TestGateway, TestMachine } from '../node/tunnel/real-gateway.ts';
import { TestPerson } from '../support/person.ts';

interface Key {
  kind: string;
  name: string;
  role: string;
  fingerprint: string;
}

test('a person logs in by code: key, host key, default gateway, and a name of their own', {
  timeout: 60_000,
}, async (t) => {
  const gateway = await new TestGateway(t).start();
  const person = new TestPerson(t);
  const first = await person.login(gateway.port, await gateway.invite({ role: 'operator' }));
  assert.deepEqual([first.name, first.role, first.isDefault], ['somebody', 'operator', true]);
  assert.equal(statSync(person.paths.key).mode & 0o777, 0o600);
  const [, ofKeygen] = execFileSync('ssh-keygen', ['-lf', person.paths.key], { encoding: 'utf8' }).split(' ');
  assert.equal(first.fingerprint, ofKeygen);
  const again = await person.login(gateway.port);
  assert.deepEqual(again, { ...first, expiresAt: again.expiresAt });
  // Somebody else with the same account name.
  const second = await new TestPerson(t).login(gateway.port, await gateway.invite({ role: 'viewer' }));
  assert.deepEqual([second.name, second.role], ['somebody-2', 'viewer']);
  const { keys } = await gateway.api<{ keys: Key[] }>('GET', '/v1/keys');
  assert.deepEqual(
    keys.map(({ kind, name, role, fingerprint }) => [kind, name, role, fingerprint === first.fingerprint]),
    [
      ['person', 'somebody', 'operator', true],
      ['person', 'somebody-2', 'viewer', false],
    ],
  );
});

test('a name that was asked for or bound is that name or none', { timeout: 60_000 }, async (t) => {
  const gateway = await new TestGateway(t).start();
  const anna = await new TestPerson(t).login(gateway.port, await gateway.invite({ role: 'admin', name: 'anna' }));
  assert.equal(anna.name, 'anna');
  await assert.rejects(gateway.invite({ role: 'viewer', name: 'anna' }), { code: 'name_taken' });
  for (const name of ['anna', 'local', 'api']) {
    const code = await gateway.invite({ role: 'viewer' });
    await assert.rejects(new TestPerson(t).login(gateway.port, code, { name }), { code: 'name_taken' }, name);
  }
  // A revoked name is free again; its key stays refused.
  await gateway.api('POST', '/v1/keys/anna/revoke');
  const next = await new TestPerson(t).login(gateway.port, await gateway.invite({ role: 'viewer', name: 'anna' }));
  assert.equal(next.name, 'anna');
});

test('a code of another role changes what a known key may do; the same code twice changes nothing', {
  timeout: 60_000,
}, async (t) => {
  const gateway = await new TestGateway(t).start();
  const person = new TestPerson(t);
  const code = await gateway.invite({ role: 'viewer', name: 'anna' });
  await person.login(gateway.port, code);
  assert.equal((await person.login(gateway.port, code)).role, 'viewer', 'the answer may have been lost');
  const client = person.client(gateway.port);
  await assert.rejects(client.keys(), { code: 'forbidden' });
  const upgrade = await gateway.invite({ role: 'admin' });
  const { name, role } = await person.login(gateway.port, upgrade);
  assert.deepEqual([name, role], ['anna', 'admin']);
  // The token of the connection is still the viewer's; what counts is what the gateway knows now.
  assert.equal((await client.keys()).length, 1);
  await assert.rejects(new TestPerson(t).login(gateway.port, upgrade), { code: 'invite_invalid' });
  const bobs = await gateway.invite({ role: 'viewer', name: 'bob' });
  await assert.rejects(person.login(gateway.port, bobs), { code: 'conflict' });
});

test('codes are for what they were made for: a node is no person, and a person no node', {
  timeout: 60_000,
}, async (t) => {
  const gateway = await new TestGateway(t).start();
  await assert.rejects(new TestPerson(t).login(gateway.port, await gateway.invite()), { code: 'forbidden' });
  const forPerson = await gateway.invite({ role: 'admin' });
  await assert.rejects(new TestMachine(t).attempt(gateway.port, { code: forPerson }), { code: 'forbidden' });
  const { keys } = await gateway.api<{ keys: Key[] }>('GET', '/v1/keys');
  assert.deepEqual(keys, []);
});

test('a code that is no code, and no gateway at all', { timeout: 60_000 }, async (t) => {
  const gateway = await new TestGateway(t).start();
  const person = new TestPerson(t);
  await assert.rejects(person.login(gateway.port, 'nonsense'), { code: 'invite_invalid' });
  await assert.rejects(person.login(gateway.port, '0000-0000-0000-0000'), { code: 'invite_invalid' });
  await assert.rejects(person.login(gateway.port, undefined, { gateway: undefined }), { code: 'usage' });
  await gateway.stop();
  await assert.rejects(person.login(gateway.port, '0000-0000-0000-0000'), { code: 'gateway_unreachable' });
});
