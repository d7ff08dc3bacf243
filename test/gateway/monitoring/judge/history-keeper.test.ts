import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import path from 'node:path';
import { type TestContext, test } from 'node:test';
import { readHistory } from '../../../../src/gateway/monitoring/history/node-history.ts';
import type { Resolution } from '../../../../src/gateway/monitoring/history/resolutions.ts';
import { createHistoryKeeper } from '../../../../src/gateway/monitoring/judge/history-keeper.ts';
import { Store } from '../../../../src/gateway/store.ts';
import { silentLogger } from '../../../../src/shared/logger.ts';
import { settle } from '../../../support/deadline.ts';
import { agesOf, FakeClock } from '../../../support/fake-clock.ts';
import { cleanUp, tempFolder } from '../../../support/temp-folder.ts';
import { FACTS } from '../../identity/fixtures.ts';
import { NO_FIGURES } from '../history/any-figures.ts';

const HOUR_MS = 3_600_000;
const DAY_MS = 24 * HOUR_MS;

function setUp(t: TestContext) {
  const clock = new FakeClock();
  const store = new Store(path.join(tempFolder(t), 'fleet.db'));
  cleanUp(t, () => store.close());
  store.nodes.insert({
    id: 'n',
    name: 'n',
    publicKey: randomBytes(32),
    ownLabels: {},
    labels: {},
    facts: FACTS,
    createdAt: 0,
  });
  const errors: string[] = [];
  const keeper = createHistoryKeeper({
    ages: agesOf(clock),
    store,
    clock,
    logger: { ...silentLogger, error: (_facts, message) => void errors.push(message) },
    retention: { raw: DAY_MS, '5m': 30 * DAY_MS, '1h': 365 * DAY_MS, disks: 14 * DAY_MS },
  });
  cleanUp(t, () => keeper.close?.());
  /** Lets it do what is due, and all the steps that follow. */
  const work = async () => {
    await clock.advance(15_000);
    for (let step = 0; step < 60; step += 1) {
      await settle(3);
      await clock.advance(25);
    }
  };
  const rows = (resolution: Resolution) =>
    store.history.rows(resolution, { bucket: -1, node: -1, at: 0 }, 1e9, 1e6).length;
  return { clock, store, keeper, errors, work, rows };
}

test('rolls up what is complete, and deletes what is too old, more than one step can', async (t) => {
  const { clock, store, keeper, work, rows } = setUp(t);
  const now = clock.now();
  await store.write(() => {
    for (let index = 0; index < 3_000; index += 1) {
      store.history.insert('n', now - 2 * DAY_MS + index * 10_000, { ...NO_FIGURES, cpuPct: index % 50 });
    }
    store.history.insert('n', now, { ...NO_FIGURES, cpuPct: 1 });
  });
  keeper.start?.();
  await work();
  assert.ok(rows('raw') <= 31, 'the new beat and at most the last five minutes stay');
  assert.ok(rows('5m') >= 100 && rows('1h') >= 8);
  const history = readHistory(store.history, 'n', { from: now - 3 * DAY_MS, to: now - DAY_MS, parts: 48 });
  assert.equal(history.statistics('cpuPct')?.avg, 24.5);
});

test('days are made, and go with their hours', async (t) => {
  const { clock, store, keeper, work, rows } = setUp(t);
  const now = clock.now();
  for (const daysAgo of [400, 366, 10]) {
    store.history.insert('n', now - daysAgo * DAY_MS, { ...NO_FIGURES, cpuPct: daysAgo / 4 });
  }
  keeper.start?.();
  // One resolution in each round.
  for (let round = 0; round < 5; round += 1) await work();
  assert.deepEqual([rows('raw'), rows('5m'), rows('1h'), rows('1d')], [0, 1, 1, 1]);
  const history = readHistory(store.history, 'n', { from: now - 390 * DAY_MS, to: now, parts: 48 });
  assert.equal(history.statistics('cpuPct')?.max, 2.5);
});

test('tidies sessions, incidents and disks of each node', async (t) => {
  const { clock, store, keeper, work } = setUp(t);
  const now = clock.now();
  for (const daysAgo of [400, 40, 39.99, 1]) {
    const at = now - daysAgo * DAY_MS;
    store.sessions.endSession(store.sessions.openSession('n', 'x', at), at + 60_000, 'cut');
    store.incidents.change('n', at, { status: 'limited', reasons: [] });
    store.incidents.change('n', at + 60_000, null);
    store.history.disks.insert('n', at, [{ mount: '/', usedPct: 1 }]);
  }
  keeper.start?.();
  await work();
  assert.equal(store.sessions.sessions('n', 0, now).length, 2);
  assert.equal(store.incidents.betweenOf(['n'], 0, now).get('n')?.length, 1);
  assert.equal(store.history.disks.trendsOf(['n'], 0).get('n')?.[0]?.readings, 1);
});

test('a disk that fails does not end it; close does', async (t) => {
  const { clock, store, keeper, errors, work, rows } = setUp(t);
  store.history.insert('n', clock.now() - HOUR_MS, { ...NO_FIGURES, cpuPct: 1 });
  const step = store.history.rollUp.step.bind(store.history.rollUp);
  store.history.rollUp.step = () => {
    throw new Error('disk');
  };
  keeper.start?.();
  await clock.advance(15_000);
  await settle();
  assert.deepEqual([errors.length, rows('5m')], [1, 0]);
  store.history.rollUp.step = step;
  await work();
  assert.equal(rows('5m'), 1);
  await clock.advance(15_000);
  await keeper.close?.();
  await settle();
  assert.equal(clock.pendingTimers, 0, 'a step that was under way does not begin another');
});
