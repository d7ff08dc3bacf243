import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import type { Attempt } from '../../../../src/gateway/monitoring/alerts/attempt.ts';
import { MOST_LISTED } from '../../../../src/gateway/monitoring/alerts/message.ts';
import { settle } from '../../../support/deadline.ts';
import { AWAY, alertWorld, CHAT, HOOK, OFFLINE } from './fixtures.ts';
import { noticeOf } from './message-fixture.ts';

const MINUTE_MS = 60_000;
const GROUP_WAIT_MS = 30_000;

function groupingWorld(t: Parameters<typeof alertWorld>[0], section: object = {}) {
  const world = alertWorld(t, { rules: [AWAY], notify: [HOOK], groupWait: '30s', ...section });
  /** Puts out that the rule fires on those nodes. */
  const fire = async (nodes: readonly string[], rule = 'away') => {
    const notices = nodes.map((node) => ({
      receivers: null,
      alertId: `alert-${rule}-${node}`,
      event: 'firing' as const,
      notice: noticeOf(node, { rule }),
    }));
    await world.store.write(() => world.deliveries.enqueue(notices));
    world.deliveries.kick();
    await settle();
  };
  /** Receiver, event and nodes of each attempt. */
  const told = () =>
    world.sent.map(({ receiver, message: { type, data } }) => {
      return `${receiver} ${type} ${data.rule} ${data.alerts.map(({ node }) => node).join(',')}`;
    });
  return { world, fire, told };
}

const names = (count: number): string[] => Array.from({ length: count }, (_, index) => `n${index}`);

test('fifty nodes that disconnect within a minute are one message, and so is their return', async (t) => {
  const { world } = groupingWorld(t, { notify: [HOOK, CHAT] });
  const nodes = names(50);
  for (const node of nodes) world.addNode(node);
  await world.boot();
  // One look at all nodes finds some of them, and the next one the others.
  for (const node of nodes.slice(0, 20)) world.health.set(`id-${node}`, OFFLINE);
  await world.pass(15_000);
  for (const node of nodes) world.health.set(`id-${node}`, OFFLINE);
  await world.pass(3 * MINUTE_MS);
  assert.deepEqual(
    world.sent.map(({ receiver, message }) => `${receiver} ${message.type} ${message.data.count}`).sort(),
    ['chat alert.firing 50', 'hook alert.firing 50'],
  );
  assert.deepEqual(new Set(world.sent[0]?.message.data.alerts.map(({ node }) => node)), new Set(nodes));
  world.health.clear();
  await world.pass(3 * MINUTE_MS);
  assert.deepEqual(
    world.sent.slice(2).map(({ message }) => `${message.type} ${message.data.count}`),
    ['alert.resolved 50', 'alert.resolved 50'],
  );
  const views = world.store.deliveries.ofAlert(world.store.alerts.latest(1)[0]?.id ?? '');
  assert.deepEqual(
    views.map(({ outcome, attempts }) => [outcome, attempts]),
    Array(4).fill(['delivered', 1]),
  );
});

test('alerts with the same rule and receiver are grouped; later ones are sent later', async (t) => {
  const { world, fire, told } = groupingWorld(t, { notify: [HOOK, CHAT] });
  await world.boot();
  await fire(['a'], 'disk');
  await fire(['a'], 'away');
  await world.clock.advance(GROUP_WAIT_MS / 2);
  await fire(['b'], 'disk');
  assert.deepEqual(told(), []);
  await world.clock.advance(GROUP_WAIT_MS / 2);
  await settle();
  assert.deepEqual(told().sort(), [
    'chat alert.firing away a',
    'chat alert.firing disk a,b',
    'hook alert.firing away a',
    'hook alert.firing disk a,b',
  ]);
  await fire(['c'], 'disk');
  await world.clock.advance(GROUP_WAIT_MS - 1);
  assert.equal(told().length, 4);
  await world.clock.advance(1);
  await settle();
  assert.deepEqual(told().slice(4).sort(), ['chat alert.firing disk c', 'hook alert.firing disk c']);
});

test('a message lists a limited number of alerts, and gives their total', async (t) => {
  const { world, fire } = groupingWorld(t);
  await world.boot();
  await fire(names(2_000));
  await world.clock.advance(GROUP_WAIT_MS);
  await settle();
  assert.equal(world.sent.length, 1);
  const { count, alerts, node } = world.sent[0]?.message.data ?? { alerts: [] };
  assert.deepEqual([count, alerts.length, node], [2_000, MOST_LISTED, 'n0']);
  assert.equal(world.store.deliveries.waiting('hook'), 0, 'all of them were told');
});

test('without groupWait each alert is sent separately and at once', async (t) => {
  const { world, fire, told } = groupingWorld(t, { groupWait: '0' });
  await world.boot();
  await fire(['a', 'b']);
  assert.deepEqual(told(), ['hook alert.firing away a', 'hook alert.firing away b']);
});

test('a retried message stays the same, whatever has happened since; the rest goes into another', async (t) => {
  const { world, fire, told } = groupingWorld(t);
  world.answer = () => (world.sent.length < 8 ? { kind: 'failed', error: 'HTTP 500' } : { kind: 'delivered' });
  await world.boot();
  await fire(['a', 'b']);
  await world.clock.advance(GROUP_WAIT_MS);
  await settle();
  await fire(['c', 'd']);
  await world.pass(5 * MINUTE_MS);
  assert.deepEqual([...new Set(told())], ['hook alert.firing away a,b', 'hook alert.firing away c,d']);
  assert.equal(new Set(world.sent.map(({ id }) => id)).size, 2);
  assert.equal(new Set(world.sent.map(({ id, message }) => `${id} ${message.data.count}`)).size, 2);
});

test('after a kill during groupWait, alerts are sent once and together', async (t) => {
  const { world, fire, told } = groupingWorld(t);
  await world.boot();
  await fire(['a', 'b']);
  await world.crash();
  assert.deepEqual(told(), []);
  await world.clock.advance(GROUP_WAIT_MS);
  await settle();
  assert.deepEqual(told(), ['hook alert.firing away a,b']);
});

test('after a kill during sending, the same message is sent again, without later alerts', async (t) => {
  const { world, fire, told } = groupingWorld(t);
  const never = Promise.withResolvers<Attempt>();
  world.answer = () => (world.sent.length === 1 ? never.promise : { kind: 'delivered' });
  await world.boot();
  await fire(['a', 'b']);
  await world.clock.advance(GROUP_WAIT_MS);
  await settle();
  await fire(['c']);
  await world.crash();
  never.resolve({ kind: 'failed', error: 'the gateway stopped' });
  await settle();
  assert.deepEqual(told(), ['hook alert.firing away a,b', 'hook alert.firing away a,b']);
  assert.equal(world.sent[0]?.id, world.sent[1]?.id);
  await world.clock.advance(GROUP_WAIT_MS);
  await settle();
  assert.deepEqual(told().slice(2), ['hook alert.firing away c']);
});

test('no resolution before its alert, even if only one of a group is resolved', async (t) => {
  const { world, fire } = groupingWorld(t);
  await world.boot();
  await fire(['a', 'b']);
  const end = { receivers: null, alertId: 'alert-away-a', event: 'resolved' as const };
  const notice = { ...noticeOf('a', { rule: 'away' }), type: 'alert.resolved' as const };
  await world.store.write(() => world.deliveries.enqueue([{ ...end, notice }]));
  await world.pass(2 * MINUTE_MS);
  assert.deepEqual(
    world.sent.map(({ message }) => `${message.type} ${message.data.count}`),
    ['alert.firing 2', 'alert.resolved 1'],
  );
});

test('a clock that is set back delays nothing', async (t) => {
  const { world, fire, told } = groupingWorld(t);
  await world.boot();
  await fire(['a']);
  world.clock.jumpWall(-60 * MINUTE_MS);
  await world.clock.advance(GROUP_WAIT_MS);
  await settle();
  assert.deepEqual(told(), ['hook alert.firing away a']);
});

test('whatever fails and whenever it is killed: every alert is sent, and an id always stands for the same alerts', async (t) => {
  const step = fc.oneof(
    fc.record({ kind: fc.constant('fire' as const), nodes: fc.integer({ min: 1, max: 4 }) }),
    fc.record({ kind: fc.constant('pass' as const), ms: fc.integer({ min: 1, max: 40_000 }) }),
    fc.record({ kind: fc.constant('crash' as const) }),
  );
  const plan = fc.record({
    steps: fc.array(step, { maxLength: 12 }),
    /** Attempts that nobody hears to have succeeded, one after the other. */
    failures: fc.nat({ max: 8 }),
  });
  await fc.assert(
    fc.asyncProperty(plan, async ({ steps, failures }) => {
      const { world, fire } = groupingWorld(t);
      world.answer = () =>
        world.sent.length <= failures ? { kind: 'failed', error: 'ECONNRESET' } : { kind: 'delivered' };
      await world.boot();
      let nodes = 0;
      for (const each of steps) {
        if (each.kind === 'fire') {
          const from = nodes;
          nodes += each.nodes;
          await fire(names(nodes).slice(from));
        } else if (each.kind === 'pass') {
          await world.clock.advance(each.ms);
          await settle();
        } else await world.crash();
      }
      await world.pass(30 * MINUTE_MS);
      const contents = new Map<string, string>();
      for (const { id, message } of world.sent) {
        const content = message.data.alerts.map(({ node }) => node).join();
        assert.equal(contents.get(id) ?? content, content);
        contents.set(id, content);
      }
      const told = [...contents.values()].flatMap((content) => content.split(','));
      assert.deepEqual(told.sort(), names(nodes).sort(), 'each in exactly one message');
      assert.equal(world.store.deliveries.waiting('hook'), 0);
    }),
    { numRuns: 15 },
  );
});
