import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import path from 'node:path';
import { test } from 'node:test';
import fc from 'fast-check';
import { readHistory } from '../../../../src/gateway/monitoring/history/node-history.ts';
import { DAY_MS, HOUR_MS } from '../../../../src/gateway/monitoring/history/resolutions.ts';
import { Store } from '../../../../src/gateway/store.ts';
import { within } from '../../../support/deadline.ts';
import { cleanUp } from '../../../support/temp-folder.ts';
import { figures, NODES, openStore, readBothWays, rollUp, shownOf } from './history-store.ts';

const T0 = Date.UTC(2026, 0, 1);
const DAYS = 4;

const anyTime = fc.integer({ min: -3 * HOUR_MS, max: (DAYS + 1) * DAY_MS }).map((ms) => T0 + ms);

/** Puts some beats of each node into every hour. */
async function fill(store: Store, days: number, nodes: readonly string[] = NODES): Promise<void> {
  await store.write(() => {
    for (let at = T0; at < T0 + days * DAY_MS; at += 25 * 60_000) {
      for (const [index, id] of nodes.entries())
        store.history.insert(id, at, figures(10 + index + ((at / 1_000) % 37)));
    }
  });
}

test('a report of days and hours is the report of hours alone, wherever its period begins and ends', async (t) => {
  const { store } = openStore(t);
  await fill(store, DAYS);
  let dayRows = 0;
  const check = async (period: { from: number; to: number; parts: number }) => {
    const { usual, plain } = await readBothWays(store.history, period);
    assert.deepEqual(usual, plain);
    for (const id of NODES) {
      const alone = shownOf(readHistory(store.history, id, period));
      const found = plain.find(([node]) => node === id)?.[1];
      if (found !== undefined) assert.deepEqual(alone, found);
    }
  };
  const periods = fc.tuple(anyTime, anyTime).filter(([from, to]) => from < to);
  for (const hoursLater of [10, 30, 31, 80, 97, 120]) {
    await store.write(() => rollUp(store, T0 + hoursLater * HOUR_MS + 10_000));
    dayRows = store.history.rows('1d', { bucket: -1, node: -1, at: 0 }, 1e9, 1_000).length;
    // A whole part is at least an hour, or days are of no use.
    await fc.assert(
      fc.asyncProperty(periods, fc.integer({ min: 1, max: 48 }), async ([from, to], parts) => {
        await check({ from, to, parts: Math.max(1, Math.min(parts, Math.floor((to - from) / HOUR_MS))) });
      }),
      { numRuns: 8 },
    );
  }
  assert.equal(dayRows, DAYS * NODES.length);
  for (const from of [T0, T0 - 1, T0 + 1, T0 + HOUR_MS / 2, T0 + HOUR_MS / 2 + 1]) {
    await check({ from, to: from + 2 * DAY_MS, parts: 48 });
  }
});

test('reports stay the same while days are built step by step, and include late heartbeats', async (t) => {
  // More nodes than one step takes, so that a day is half made in between.
  const nodes = Array.from({ length: 60 }, (_, index) => `n${index}`);
  const { store } = openStore(t, nodes);
  await store.write(() => {
    for (let at = T0; at < T0 + 2 * DAY_MS; at += 3 * HOUR_MS) {
      for (const [index, id] of nodes.entries()) store.history.insert(id, at, figures(index % 50));
    }
  });
  const period = { from: T0, to: T0 + 2 * DAY_MS, parts: 48 };
  const before = (await readBothWays(store.history, period)).usual;
  let halves = 0;
  while (await store.write(() => store.history.rollUp.step(T0 + 3 * DAY_MS))) {
    const { bucket } = store.history.rollUp.cursor('1d');
    if (bucket < 0) continue;
    const { usual } = await readBothWays(store.history, period);
    assert.deepEqual(usual, before);
    if (store.history.rollUp.completeUntil('1d') <= bucket * DAY_MS) halves += 1;
  }
  assert.ok(halves >= 2);
  for (const late of [T0 + 60_000, T0 + DAY_MS + 60_000]) store.history.insert('n7', late, figures(100));
  const { usual, plain } = await readBothWays(store.history, period);
  assert.deepEqual(usual, plain);
  assert.equal(readHistory(store.history, 'n7', period).statistics('cpuPct')?.max, 100);
});

test('a heartbeat in an hour that was empty when its day was built is added to that day', async (t) => {
  const { store } = openStore(t);
  store.history.insert('a', T0, figures(10));
  await store.write(() => rollUp(store, T0 + DAY_MS + 10_000));
  assert.equal(store.history.rollUp.cursor('1d').bucket, T0 / DAY_MS);
  store.history.insert('a', T0 + 5 * HOUR_MS, figures(30));
  const period = { from: T0, to: T0 + 2 * DAY_MS, parts: 48 };
  const before = (await readBothWays(store.history, period)).usual;
  await store.write(() => rollUp(store, T0 + DAY_MS + 10_000));
  assert.deepEqual(await readBothWays(store.history, period), { usual: before, plain: before });
  assert.equal(readHistory(store.history, 'a', period).statistics('cpuPct')?.max, 30);
});

test('killed in any step, again and again: every beat counts once, in every resolution', async (t) => {
  const world = openStore(t);
  await fill(world.store, 2);
  const period = { from: T0, to: T0 + 2 * DAY_MS, parts: 48 };
  const now = T0 + 2 * DAY_MS + HOUR_MS;
  const before = (await readBothWays(world.store.history, period)).usual;
  world.store.close();
  const source = path.resolve(import.meta.dirname, '../../../../src/gateway/store.ts');
  // Each process says when a step is under way, so that the kill falls into one.
  const script = `
    const { Store } = await import(${JSON.stringify(source)});
    const store = new Store(${JSON.stringify(world.file)});
    for (let isMore = true; isMore; ) isMore = await store.write(() => {
      const done = store.history.rollUp.step(${now});
      process.stdout.write(store.history.rollUp.cursor('1d').bucket + ' ');
      return done;
    });
    store.close();`;
  let kills = 0;
  for (let stepsToKill = 1; ; stepsToKill += 1) {
    const child = spawn(process.execPath, ['--input-type=module', '-e', script], {
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    cleanUp(t, () => child.kill('SIGKILL'));
    const exited = once(child, 'exit');
    let steps = 0;
    child.stdout.on('data', (chunk: Buffer) => {
      steps += chunk.toString().split(' ').length - 1;
      if (steps >= stepsToKill) child.kill('SIGKILL');
    });
    const [code] = (await within(exited, 'a process that rolls up', 60_000)) as [number | null];
    if (code === 0) break;
    kills += 1;
    world.reopen();
    const { usual, plain } = await readBothWays(world.store.history, period);
    assert.deepEqual([usual, plain], [before, before], `after ${kills} kills`);
    world.store.close();
  }
  assert.ok(kills >= 3, `${kills} kills`);
  const store = new Store(world.file);
  cleanUp(t, () => store.close());
  assert.equal(store.history.rows('1d', { bucket: -1, node: -1, at: 0 }, 1e9, 1_000).length, 2 * NODES.length);
  const { usual, plain } = await readBothWays(store.history, period);
  assert.deepEqual([usual, plain], [before, before]);
});
