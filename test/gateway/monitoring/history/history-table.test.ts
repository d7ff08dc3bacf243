import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import {
  type NodeHistory,
  readHistories,
  readHistory,
} from '../../../../src/gateway/monitoring/history/node-history.ts';
import { FIVE_MINUTES_MS, HOUR_MS, resolutionFor } from '../../../../src/gateway/monitoring/history/resolutions.ts';
import { figures, NODES, openStore, rollUp } from './history-store.ts';

const T0 = Date.UTC(2026, 0, 1);
/** Everything that a report shows of a node's processor. */
const summary = (history: NodeHistory | undefined) => history?.statistics('cpuPct') ?? null;

test('each period is read from the resolution that suits it', () => {
  const of = (periodMs: number) => resolutionFor({ from: T0 - periodMs, to: T0, parts: 48 });
  assert.deepEqual([HOUR_MS, 24 * HOUR_MS, 7 * 24 * HOUR_MS].map(of), ['raw', '5m', '1h']);
});

test('a day of three nodes reads the same in every resolution, before, during and after the roll-up', async (t) => {
  const { store } = openStore(t);
  await store.write(() => {
    for (let at = T0; at < T0 + 24 * HOUR_MS; at += 120_000) {
      for (const [index, id] of NODES.entries()) store.history.insert(id, at, figures(10 + index + ((at / 1000) % 37)));
    }
  });
  const now = T0 + 24 * HOUR_MS;
  const read = async () => {
    const all = await readHistories(store.history, { from: T0, to: now, parts: 24 });
    const fives = await readHistories(store.history, { from: T0, to: now, parts: 48 });
    return NODES.map((id) => {
      assert.deepEqual(summary(fives.get(id)), summary(all.get(id)));
      assert.deepEqual(summary(readHistory(store.history, id, { from: T0, to: now, parts: 24 })), summary(all.get(id)));
      return { statistics: summary(all.get(id)), series: all.get(id)?.series('cpuPct') };
    });
  };
  const before = await read();
  assert.ok(before.every(({ statistics, series }) => statistics !== null && series?.every((value) => value !== null)));
  let steps = 0;
  while (await store.write(() => store.history.rollUp.step(now + 10_000))) {
    steps += 1;
    assert.deepEqual(await read(), before, `after step ${steps}`);
  }
  assert.ok(steps > 3);
  assert.deepEqual(store.history.rollUp.cursor('1h').bucket, now / HOUR_MS - 1);
  assert.deepEqual(store.history.rows('1h', { bucket: -1, node: -1, at: 0 }, 1e9, 1_000).length, 3 * 24);
});

test('only what is complete is rolled up, with some seconds to spare', (t) => {
  const { store } = openStore(t);
  store.history.insert('a', T0, figures(1));
  assert.equal(rollUp(store, T0 + FIVE_MINUTES_MS), 0);
  assert.equal(rollUp(store, T0 + FIVE_MINUTES_MS + 5_000), 1);
  assert.equal(rollUp(store, T0 + HOUR_MS), 0);
  assert.equal(rollUp(store, T0 + HOUR_MS + 5_000), 1);
  assert.equal(rollUp(store, T0 + 10 * HOUR_MS), 0);
});

test('more beats in five minutes than one step takes are still one bucket', async (t) => {
  const { store } = openStore(t);
  await store.write(() => {
    for (let index = 0; index < 2_500; index += 1) store.history.insert('b', T0 + index * 100, figures(index % 100));
  });
  rollUp(store, T0 + 2 * HOUR_MS);
  const history = readHistory(store.history, 'b', { from: T0, to: T0 + 48 * HOUR_MS, parts: 48 });
  assert.deepEqual([summary(history)?.avg, summary(history)?.max], [49.5, 99]);
  assert.equal(store.history.rows('5m', { bucket: -1, node: -1, at: 0 }, 1e9, 10).length, 1);
});

test('in any order, with duplicates, stops in the middle and reopening: each beat counts once', async (t) => {
  const beats = fc.array(
    fc.record({
      node: fc.constantFrom(...NODES),
      at: fc.integer({ min: 0, max: 60 * HOUR_MS }).map((ms) => T0 + Math.floor(ms / 10_000) * 10_000),
      cpuPct: fc.integer({ min: 0, max: 100 }),
      /** What happens after it. */
      next: fc.constantFrom('nothing', 'nothing', 'duplicate', 'step', 'roll up', 'reopen'),
      clock: fc.integer({ min: 0, max: 72 * HOUR_MS }),
    }),
    { maxLength: 40 },
  );
  await fc.assert(
    fc.asyncProperty(beats, async (list) => {
      const world = openStore(t);
      const seen = new Map<string, number>();
      for (const { node, at, cpuPct, next, clock } of list) {
        const key = `${node} ${at}`;
        // The store keeps the first of two that are equal in node and time.
        if (!seen.has(key)) seen.set(key, cpuPct);
        await world.store.write(() => {
          world.store.history.insert(node, at, figures(cpuPct));
          if (next === 'duplicate') world.store.history.insert(node, at, figures(99));
          if (next === 'step') world.store.history.rollUp.step(T0 + clock);
          if (next === 'roll up') rollUp(world.store, T0 + clock);
        });
        if (next === 'reopen') world.reopen();
      }
      await world.store.write(() => rollUp(world.store, T0 + 73 * HOUR_MS));
      for (const parts of [1, 48, 600, 3_000]) {
        const period = { from: T0, to: T0 + 73 * HOUR_MS, parts };
        const histories = await readHistories(world.store.history, period);
        for (const node of NODES) {
          const values = [...seen].filter(([key]) => key.startsWith(`${node} `)).map(([, value]) => value);
          const found = summary(histories.get(node));
          assert.equal(found === null, values.length === 0);
          if (found === null) continue;
          const mean = values.reduce((sum, value) => sum + value, 0) / values.length;
          assert.ok(Math.abs(found.avg - mean) < 1e-9, `${resolutionFor(period)} ${node}: ${found.avg} for ${mean}`);
          assert.deepEqual([found.min, found.max], [Math.min(...values), Math.max(...values)]);
        }
      }
    }),
    { numRuns: 20 },
  );
});

test('old rows are deleted in bounded steps, but never before they are rolled up', async (t) => {
  const { store } = openStore(t);
  await store.write(() => {
    for (let index = 0; index < 50; index += 1) store.history.insert('a', T0 + index * 60_000, figures(index));
  });
  const later = T0 + 400 * 24 * HOUR_MS;
  assert.equal(store.history.prune('raw', later, 10), 0);
  await store.write(() => rollUp(store, later));
  assert.equal(store.history.prune('raw', T0, 100), 0);
  assert.equal(store.history.prune('raw', later, 10), 10);
  while (store.history.prune('raw', later, 100) > 0);
  const period = { from: T0, to: T0 + 60 * 24 * HOUR_MS, parts: 48 };
  assert.deepEqual(summary(readHistory(store.history, 'a', period))?.avg, 24.5);
  while (store.history.prune('5m', later, 3) > 0);
  assert.deepEqual(summary(readHistory(store.history, 'a', period))?.avg, 24.5);
  assert.equal(store.history.prune('1h', T0 + HOUR_MS - 1, 100), 0);
  store.history.insert('a', later, figures(1));
  rollUp(store, later + 48 * HOUR_MS);
  while (store.history.prune('1h', later, 1) > 0);
  assert.deepEqual(summary(readHistory(store.history, 'a', period))?.avg, 24.5);
  assert.equal(store.history.prune('1d', T0 + 24 * HOUR_MS - 1, 100), 0);
  assert.equal(store.history.prune('1d', T0 + 24 * HOUR_MS, 100), 1);
});

test('a removed node is no longer shown, and its number is never reused', async (t) => {
  const { store } = openStore(t);
  store.history.insert('a', T0, figures(1));
  store.nodes.remove('a', 1);
  assert.equal((await readHistories(store.history, { from: T0, to: T0 + HOUR_MS, parts: 48 })).size, 0);
  store.history.insert('b', T0, figures(50));
  const histories = await readHistories(store.history, { from: T0, to: T0 + HOUR_MS, parts: 48 });
  assert.deepEqual(summary(histories.get('b'))?.min, 50);
});
