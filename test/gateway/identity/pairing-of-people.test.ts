import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { test } from 'node:test';
import { GuessLimit } from '../../../src/gateway/identity/guess-limit.ts';
import { FakeClock } from '../../support/fake-clock.ts';
import { TestNode, testGateway } from './fixtures.ts';

const PERSON = { as: 'person' } as const;

test('a person gets the role of the invite, and a token for it', async (t) => {
  const gateway = testGateway(t);
  const person = new TestNode(gateway);
  const result = await person.pair({ ...PERSON, code: await gateway.invite({ role: 'viewer', name: 'anna' }) });
  assert.ok(result.status === 'paired');
  assert.deepEqual([result.name, result.role], ['anna', 'viewer']);
  const { subject, role } = await gateway.tokens.verify(result.token, person.publicKey);
  assert.deepEqual([subject, role], [result.id, 'viewer']);
  assert.equal(gateway.store.nodes.all().length, 0);
  // Without a code: the renewal.
  assert.equal((await person.pair(PERSON)).status, 'paired');
});

test('an unknown person does not wait for approval', async (t) => {
  const gateway = testGateway(t);
  await assert.rejects(new TestNode(gateway).pair(PERSON), { code: 'not_paired' });
  assert.deepEqual(gateway.pending.list(), []);
});

test('one key is one thing: a node is no person and a person no node, whatever codes they have', async (t) => {
  const gateway = testGateway(t);
  const node = new TestNode(gateway, 'node');
  const person = new TestNode(gateway, 'person');
  const forNode = await gateway.invite({ uses: 3 });
  const forPerson = await gateway.invite({ role: 'admin', uses: 3 });
  await node.pair({ code: forNode });
  await person.pair({ ...PERSON, code: forPerson });
  await assert.rejects(node.pair({ ...PERSON, code: forPerson }), { code: 'conflict' });
  await assert.rejects(person.pair({ code: forNode }), { code: 'conflict' });
  await assert.rejects(person.pair(), { code: 'conflict' });
  assert.deepEqual(gateway.pending.list(), []);
});

test('two logins at once with one new key are one person and one use', async (t) => {
  const gateway = testGateway(t);
  const person = new TestNode(gateway);
  const code = await gateway.invite({ role: 'viewer', uses: 2 });
  const results = await Promise.all([1, 2].map(() => person.pair({ ...PERSON, code })));
  assert.deepEqual(new Set(results.map((result) => result.status === 'paired' && result.id)).size, 1);
  assert.equal(gateway.store.people.all().length, 1);
  assert.equal(gateway.invites.open()[0]?.usesLeft, 1);
});

test('wrong proofs burn the invite that they were for and no other', async (t) => {
  const gateway = testGateway(t);
  const codes = [await gateway.invite(), await gateway.invite()];
  const proof = randomBytes(32).toString('base64url');
  for (let n = 0; n < 5; n += 1) {
    const guess = new TestNode(gateway, `guess-${n}`);
    const tampering = { verify: (request: object) => ({ ...request, proof }) as never };
    await assert.rejects(guess.pair({ code: codes[0] ?? '' }, tampering), { code: 'invite_invalid' });
  }
  assert.deepEqual(
    gateway.invites.open().map(({ id }) => id),
    [codes[1]?.slice(0, 4)],
  );
  assert.equal((await new TestNode(gateway).pair({ code: codes[1] ?? '' })).status, 'paired');
});

test('ids of invites cannot be tried one after the other', async (t) => {
  const gateway = testGateway(t);
  const code = await gateway.invite();
  const secret = code.slice(5);
  for (let n = 0; n < 20; n += 1) {
    const id = `zzz${n.toString(32).at(-1)}`.replace(/[ilou]/g, '0');
    await assert.rejects(new TestNode(gateway).pair({ code: `${id}-${secret}` }), { code: 'invite_invalid' });
  }
  await assert.rejects(new TestNode(gateway).pair({ code }), { code: 'busy' });
  await gateway.clock.advance(60_000);
  assert.equal((await new TestNode(gateway).pair({ code })).status, 'paired');
});

test('wrong ids are counted by address, IPv6 by network, and the count is bounded', async () => {
  const clock = new FakeClock();
  const limit = new GuessLimit(clock);
  for (let n = 0; n < 20; n += 1) limit.miss(`2001:db8:0:1::${n.toString(16)}`);
  assert.throws(() => limit.check('2001:db8:0:1::ffff'), { code: 'busy' });
  limit.check('2001:db8:0:2::1');
  for (let n = 0; n < 10_001; n += 1) limit.miss(`10.${n >> 16}.${(n >> 8) & 255}.${n & 255}`);
  // The oldest made room.
  limit.check('2001:db8:0:1::ffff');
});
