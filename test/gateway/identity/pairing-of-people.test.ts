import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { test } from 'node:test';
import { rotateNodeKey } from '../../../src/gateway/identity/keys.ts';
import { WindowLimit } from '../../../src/gateway/identity/window-limit.ts';
import { encodeKeyRotation } from '../../../src/protocol/node-messages.ts';
import { silentLogger } from '../../../src/shared/logger.ts';
import { FakeClock } from '../../support/fake-clock.ts';
import { rowsOf } from '../audit/fixtures.ts';
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

test('an unknown person cannot be approved', async (t) => {
  const gateway = testGateway(t);
  await assert.rejects(new TestNode(gateway).pair(PERSON), { code: 'not_paired' });
  assert.deepEqual(gateway.pending.list(), []);
});

test('a key belongs to a node or a person, never to both, whatever codes they have', async (t) => {
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

test('a node’s former key admits nobody, and a node cannot take a person’s key', async (t) => {
  const gateway = testGateway(t);
  const [node, next, person] = ['node', 'next', 'person'].map((name) => new TestNode(gateway, name));
  assert.ok(node && next && person);
  const paired = await node.pair({ code: await gateway.invite() });
  assert.ok(paired.status === 'paired');
  await person.pair({ ...PERSON, code: await gateway.invite({ role: 'admin' }) });
  const rotate = async (to: TestNode): Promise<void> => {
    const [oldKey, newKey] = [node.publicKey, to.publicKey];
    const statement = encodeKeyRotation({ hostKey: gateway.hostKey, nodeId: paired.id, oldKey, newKey });
    const [oldSignature = '', newSignature = ''] = [node, to].map(({ identity }) =>
      Buffer.from(identity.sign(statement)).toString('base64url'),
    );
    const request = { publicKey: newKey.toString('base64url'), oldSignature, newSignature };
    const options = { ...gateway, logger: silentLogger };
    await rotateNodeKey(options, paired, { publicKey: oldKey, remoteAddress: '192.0.2.1' }, request);
  };
  await assert.rejects(rotate(person), { code: 'conflict' });
  await rotate(next);
  // The answer was lost: it comes again, and is one act all the same.
  await rotate(next);
  const acts = rowsOf(gateway.store).filter(({ action }) => action === 'node.rotate-key');
  assert.deepEqual(
    acts.map(({ details }) => details.node),
    ['web'],
  );
  const code = await gateway.invite({ role: 'admin' });
  await assert.rejects(node.pair({ ...PERSON, code }), { code: 'key_revoked' });
  await assert.rejects(node.pair(PERSON), { code: 'key_revoked' });
  await assert.rejects(node.pair({ code: await gateway.invite() }), { code: 'key_revoked' });
  await assert.rejects(next.pair({ ...PERSON, code }), { code: 'conflict' });
  assert.equal(gateway.store.people.all().length, 1);
});

test('a new key that asks for both at once becomes one of them, whichever comes first', async (t) => {
  const gateway = testGateway(t);
  for (const first of ['node', 'person'] as const) {
    const both = new TestNode(gateway, first);
    const wishes = [
      { as: 'node', code: await gateway.invite() } as const,
      { as: 'person', code: await gateway.invite({ role: 'viewer' }) } as const,
    ];
    if (first === 'person') wishes.reverse();
    const results = await Promise.allSettled(wishes.map((wish) => both.pair(wish)));
    assert.deepEqual(results.map(({ status }) => status).sort(), ['fulfilled', 'rejected']);
  }
  assert.equal(gateway.store.nodes.all().length + gateway.store.people.all().length, 2);
  const node = new TestNode(gateway, 'twice');
  const code = await gateway.invite({ uses: 2 });
  const results = await Promise.all([1, 2].map(() => node.pair({ code })));
  assert.equal(new Set(results.map((result) => result.status === 'paired' && result.id)).size, 1);
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

test('wrong proofs invalidate their own invite and no other', async (t) => {
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

test('ids of invites cannot be found by trial', async (t) => {
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

test('unknown ids are counted by address, IPv6 by network', async (t) => {
  const gateway = testGateway(t);
  const secret = (await gateway.invite()).slice(5);
  const guess = async (address: string) =>
    await new TestNode(gateway).pair({ code: `zzzz-${secret}` }, { address }).then(
      () => 'paired',
      (error: { code: string }) => error.code,
    );
  for (let n = 0; n < 20; n += 1) assert.equal(await guess(`2001:db8:0:1::${n.toString(16)}`), 'invite_invalid');
  assert.equal(await guess('2001:db8:0:1::ffff'), 'busy');
  assert.equal(await guess('2001:db8:0:2::1'), 'invite_invalid');
});

test('a limit is per key and window, and remembers a bounded number of keys', async () => {
  const clock = new FakeClock();
  const limit = new WindowLimit(clock, 2, 60_000);
  for (let n = 0; n < 2; n += 1) limit.count('first');
  assert.deepEqual([limit.isReached('first'), limit.isReached('second')], [true, false]);
  for (let n = 0; n < 10_000; n += 1) limit.count(String(n));
  assert.equal(limit.isReached('first'), false, 'the oldest made room');
  limit.count('second');
  await clock.advance(60_000);
  limit.count('second');
  assert.equal(limit.isReached('second'), false, 'another window');
});
