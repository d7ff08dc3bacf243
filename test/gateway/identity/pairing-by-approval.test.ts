import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { test } from 'node:test';
import { PendingNodes } from '../../../src/gateway/nodes/pending-nodes.ts';
import { FakeClock } from '../../support/fake-clock.ts';
import { FACTS, TestNode, testGateway } from './fixtures.ts';

test('both sides show the same code throughout, and approval admits the node', async (t) => {
  const gateway = testGateway(t);
  const node = new TestNode(gateway);
  const first = await node.pair();
  assert.ok(first.status === 'pending');
  assert.equal(first.ownCode, first.gatewayCode);
  const second = await node.pair();
  assert.ok(second.status === 'pending');
  assert.equal(second.gatewayCode, first.gatewayCode);
  const [listed] = gateway.pending.list();
  assert.equal(listed?.code, first.gatewayCode);
  assert.equal(gateway.store.nodes.all().length, 0);
  gateway.pending.decide(first.gatewayCode, 'approve', undefined, { tier: 'web' });
  const third = await node.pair();
  assert.ok(third.status === 'paired');
  assert.equal(third.name, 'web');
  assert.deepEqual(gateway.store.nodes.byId(third.id)?.labels, { own: '1', tier: 'web' });
  assert.deepEqual(gateway.pending.list(), []);
});

test('a man in the middle makes the two codes differ', async (t) => {
  const gateway = testGateway(t);
  const result = await new TestNode(gateway).pair({}, { hostKey: randomBytes(51) }).catch((error: unknown) => error);
  // The signature is over what the node saw, so the gateway does not even list it.
  assert.equal((result as { code: string }).code, 'forbidden');
  assert.deepEqual(gateway.pending.list(), []);
});

test('the node commits to the code before the gateway can know it', async (t) => {
  const gateway = testGateway(t);
  const node = new TestNode(gateway);
  const events: string[] = [];
  const lost = node.pair(
    { beforeAsking: (code) => void events.push(code) },
    {
      verify: (request) => {
        events.push('verify');
        return request;
      },
    },
  );
  const result = await lost;
  assert.deepEqual(events, [result.status === 'pending' ? result.gatewayCode : '', 'verify']);
});

test('a rejection, by name or code, lasts until the machine gives up', async (t) => {
  const gateway = testGateway(t);
  const node = new TestNode(gateway);
  await node.pair({ name: 'stranger' });
  gateway.pending.decide('stranger', 'reject');
  await assert.rejects(node.pair(), { code: 'pairing_rejected' });
  await assert.rejects(node.pair(), { code: 'pairing_rejected' });
  assert.throws(() => gateway.pending.decide('stranger', 'approve'), { code: 'not_found' });
  await gateway.clock.advance(3 * 60_000 + 1);
  assert.equal((await node.pair()).status, 'pending');
});

test('approval under another name; a taken name is refused, not numbered', async (t) => {
  const gateway = testGateway(t);
  await new TestNode(gateway, 'a').pair({ code: await gateway.invite(), name: 'taken' });
  const renamed = new TestNode(gateway, 'b');
  await renamed.pair({ name: 'web' });
  gateway.pending.decide('web', 'approve', 'db-1');
  const result = await renamed.pair({ name: 'web' });
  assert.equal(result.status === 'paired' && result.name, 'db-1');
  const unlucky = new TestNode(gateway, 'c');
  await unlucky.pair({ name: 'web' });
  gateway.pending.decide('web', 'approve', 'taken');
  await assert.rejects(unlucky.pair({ name: 'web' }), { code: 'name_taken' });
});

test('the operator gets what the operator saw: a name that changes after the approval does not count', async (t) => {
  const gateway = testGateway(t);
  const node = new TestNode(gateway);
  await node.pair({ name: 'first' });
  await node.pair({ name: 'second' });
  assert.deepEqual(
    gateway.pending.list().map(({ name }) => name),
    ['second'],
  );
  gateway.pending.decide('second', 'approve');
  const result = await node.pair({ name: 'database' });
  assert.equal(result.status === 'paired' && result.name, 'second');
});

test('a code stands for what was shown with it: a machine that asks for something else gets another code', async (t) => {
  const changes: object[] = [
    { name: 'db-1' },
    { labels: { own: '1', role: 'db' } },
    { labels: {} },
    { facts: { ...FACTS, capabilities: ['agent:root'] } },
  ];
  for (const change of changes) {
    const gateway = testGateway(t);
    const node = new TestNode(gateway);
    const first = await node.pair();
    const second = await node.pair(change);
    assert.ok(first.status === 'pending' && second.status === 'pending');
    assert.notEqual(second.gatewayCode, first.gatewayCode);
    assert.equal(second.gatewayCode, second.ownCode);
    assert.throws(() => gateway.pending.decide(first.gatewayCode, 'approve'), { code: 'not_found' });
    const third = await node.pair(change);
    assert.ok(third.status === 'pending');
    assert.equal(third.gatewayCode, second.gatewayCode);
    // What changes from one start of a machine to the next without its doing is no other question.
    await node.pair({ ...change, facts: { ...FACTS, osRelease: 'later', ...(change as { facts?: object }).facts } });
    assert.equal(gateway.pending.list()[0]?.code, second.gatewayCode);
  }
});

test('a code admits a waiting machine at once', async (t) => {
  const gateway = testGateway(t);
  const node = new TestNode(gateway);
  await node.pair();
  assert.equal((await node.pair({ code: await gateway.invite() })).status, 'paired');
  assert.deepEqual(gateway.pending.list(), []);
});

test('two machines of one name need the code; pending machines are limited, in total and per address', async () => {
  const clock = new FakeClock();
  const pending = new PendingNodes(clock);
  const ask = (n: number, address = `10.0.0.${n}`) =>
    pending.ask({ publicKey: Buffer.from([n]), address, name: 'same', labels: {}, facts: FACTS, code: `code-${n}` });
  ask(0);
  ask(1);
  assert.throws(() => pending.decide('same', 'approve'), { code: 'ambiguous' });
  assert.equal(pending.decide('code-1', 'approve').code, 'code-1');
  assert.equal(ask(1).state, 'approved');
  for (let n = 2; n < 48; n += 1) ask(n, `10.0.${n % 4}.0`);
  assert.throws(() => ask(48), { code: 'busy' });
  assert.equal(ask(47, '10.0.3.0').state, 'waiting');
  await clock.advance(3 * 60_000 + 1);
  for (let n = 100; n < 116; n += 1) ask(n, 'one');
  assert.throws(() => ask(116, 'one'), { code: 'busy' });
  assert.equal(ask(116, 'two').state, 'waiting');
  assert.equal(pending.list().length, 17);
});
