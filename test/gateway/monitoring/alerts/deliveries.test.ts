import assert from 'node:assert/strict';
import { test } from 'node:test';
import { MAX_WAITING } from '../../../../src/gateway/monitoring/alerts/deliveries.ts';
import type { DeliveryRow } from '../../../../src/gateway/monitoring/alerts/tables.ts';
import { settle } from '../../../support/deadline.ts';
import { alertWorld, CHAT, HOOK } from './fixtures.ts';
import { FIRING_NOTICE, RESOLVED_NOTICE } from './message-fixture.ts';

const MINUTE_MS = 60_000;
const HOUR_MS = 60 * MINUTE_MS;

async function setUp(t: Parameters<typeof alertWorld>[0], notify: object[] = [HOOK]) {
  const world = alertWorld(t, { rules: [], notify });
  await world.boot();
  const put = async (alertId: string, event: 'firing' | 'resolved') => {
    const notice = event === 'firing' ? FIRING_NOTICE : RESOLVED_NOTICE;
    await world.store.write(() => world.deliveries.enqueue([{ receivers: null, alertId, event, notice }]));
    world.deliveries.kick();
    await settle();
  };
  const of = (alert: string): Pick<DeliveryRow, 'outcome' | 'attempts' | 'error'>[] =>
    world.store.deliveries.ofAlert(alert).map(({ outcome, attempts, error }) => ({ outcome, attempts, error }));
  return { world, put, of };
}

test('a message is retried with the same id until it is delivered', async (t) => {
  const { world, put, of } = await setUp(t);
  world.answer = () => (world.sent.length < 4 ? { kind: 'failed', error: 'HTTP 500' } : { kind: 'delivered' });
  await put('a1', 'firing');
  assert.deepEqual(of('a1'), [{ outcome: 'waiting', attempts: 1, error: 'HTTP 500' }]);
  await world.pass(5 * MINUTE_MS);
  assert.deepEqual(of('a1'), [{ outcome: 'delivered', attempts: 4, error: null }]);
  assert.equal(new Set(world.sent.map(({ id }) => id)).size, 1);
});

test('a message is given up after a day of failures or three refusals, and stays on record', async (t) => {
  const { world, put, of } = await setUp(t, [HOOK, CHAT]);
  world.answer = ({ receiver }) =>
    receiver === 'hook' ? { kind: 'failed', error: 'ECONNREFUSED' } : { kind: 'refused', error: 'HTTP 404' };
  await put('a1', 'firing');
  await world.pass(HOUR_MS);
  assert.deepEqual(of('a1')[1], { outcome: 'given_up', attempts: 3, error: 'HTTP 404' });
  assert.equal(of('a1')[0]?.outcome, 'waiting');
  await world.pass(24 * HOUR_MS);
  assert.deepEqual([of('a1')[0]?.outcome, of('a1')[0]?.error], ['given_up', 'ECONNREFUSED']);
  const { length } = world.sent;
  await world.pass(3 * HOUR_MS);
  assert.equal(world.sent.length, length, 'and not tried any more');
});

test('no resolution before its alert, and one message does not delay those of other alerts', async (t) => {
  const { world, put } = await setUp(t);
  world.answer = () => (world.sent.length <= 2 ? { kind: 'failed', error: 'HTTP 503' } : { kind: 'delivered' });
  await put('a1', 'firing');
  await put('a1', 'resolved');
  assert.equal(world.sent.length, 1);
  await put('a2', 'firing');
  assert.equal(world.sent.length, 2, 'of another alert at once');
  await world.pass(5 * MINUTE_MS);
  const [firing, resolved] = world.store.deliveries.ofAlert('a1').map(({ id }) => id);
  const ids = world.sent.map(({ id }) => id).filter((id) => id === firing || id === resolved);
  assert.deepEqual(ids, [firing, firing, resolved]);
});

test('a slow receiver delays no other', async (t) => {
  const { world, put, of } = await setUp(t, [HOOK, CHAT]);
  const slow = Promise.withResolvers<{ kind: 'delivered' }>();
  world.answer = ({ receiver }) => (receiver === 'hook' ? slow.promise : { kind: 'delivered' });
  await put('a1', 'firing');
  await put('a2', 'firing');
  assert.deepEqual(world.told().filter((line) => line.startsWith('chat')).length, 2);
  assert.equal(world.told().filter((line) => line.startsWith('hook')).length, 1, 'one at a time');
  slow.resolve({ kind: 'delivered' });
  await settle();
  assert.ok(of('a2').every(({ outcome }) => outcome === 'delivered'));
});

test('after a kill during sending, the message is sent again with the same id', async (t) => {
  const { world, put, of } = await setUp(t);
  const never = Promise.withResolvers<{ kind: 'failed'; error: string }>();
  world.answer = () => (world.sent.length === 1 ? never.promise : { kind: 'delivered' });
  await put('a1', 'firing');
  await world.crash();
  never.resolve({ kind: 'failed', error: 'the gateway stopped' });
  await settle();
  assert.deepEqual(of('a1'), [{ outcome: 'delivered', attempts: 1, error: null }]);
  assert.equal(world.sent.length, 2);
  assert.equal(world.sent[0]?.id, world.sent[1]?.id);
});

test('an attempt cut off by our own shutdown does not count', async (t) => {
  const { world, put, of } = await setUp(t);
  const cut = Promise.withResolvers<{ kind: 'failed'; error: string }>();
  world.answer = () => cut.promise;
  await put('a1', 'firing');
  const closing = world.deliveries.close();
  cut.resolve({ kind: 'failed', error: 'the gateway stopped' });
  await closing;
  assert.deepEqual(of('a1'), [{ outcome: 'waiting', attempts: 0, error: null }]);
});

test('a receiver that is no longer configured gets nothing, which is recorded', async (t) => {
  const { world, put, of } = await setUp(t);
  world.answer = () => ({ kind: 'failed', error: 'HTTP 500' });
  await put('a1', 'firing');
  world.receivers = [];
  await world.crash();
  assert.deepEqual(of('a1'), [
    { outcome: 'given_up', attempts: 1, error: 'the receiver is no longer in the configuration' },
  ]);
});

test('the outbox is bounded: the oldest message is given up', async (t) => {
  const { world, of } = await setUp(t);
  world.answer = () => ({ kind: 'failed', error: 'HTTP 500' });
  const notices = Array.from({ length: MAX_WAITING + 1 }, (_, index) => ({
    receivers: null,
    alertId: `a${index}`,
    event: 'firing' as const,
    notice: FIRING_NOTICE,
  }));
  await world.store.write(() => world.deliveries.enqueue(notices));
  const error = `more than ${MAX_WAITING} alerts were waiting`;
  assert.deepEqual(of('a0'), [{ outcome: 'given_up', attempts: 0, error }]);
  assert.equal(of('a1')[0]?.outcome, 'waiting');
  assert.equal(world.store.deliveries.waiting('hook'), MAX_WAITING);
});

test('a message that waits for an older one of its alert causes no polling', async (t) => {
  const { world, put } = await setUp(t);
  world.answer = () => ({ kind: 'failed', error: 'HTTP 500' });
  await put('a1', 'firing');
  await put('a1', 'resolved');
  const [firing] = world.store.deliveries.ofAlert('a1');
  assert.equal(world.store.deliveries.earliest('hook'), firing?.nextAt);
  assert.ok((firing?.nextAt ?? 0) > world.clock.now());
});

test('a clock that was years ahead and is set right delays nothing', async (t) => {
  const { world, put, of } = await setUp(t);
  world.answer = () => (world.sent.length === 1 ? { kind: 'failed', error: 'HTTP 500' } : { kind: 'delivered' });
  world.clock.jumpWall(5 * 365 * 86_400_000);
  await put('a1', 'firing');
  world.clock.jumpWall(-5 * 365 * 86_400_000);
  await world.pass(2 * MINUTE_MS);
  assert.equal(of('a1')[0]?.outcome, 'delivered');
});

test('a test is sent once, is recorded, and returns the outcome', async (t) => {
  const { world } = await setUp(t);
  world.answer = () => ({ kind: 'failed', error: 'HTTP 500' });
  assert.deepEqual(await world.deliveries.test('hook', FIRING_NOTICE), { kind: 'failed', error: 'HTTP 500' });
  await world.pass(HOUR_MS);
  assert.equal(world.sent.length, 1);
  const row = world.store.deliveries.byId(world.sent[0]?.id ?? '');
  assert.deepEqual([row?.event, row?.outcome, row?.error], ['test', 'given_up', 'HTTP 500']);
  await assert.rejects(world.deliveries.test('nobody', FIRING_NOTICE), { code: 'not_found' });
});
