import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { CATCH_UPS, type CatchUp } from '../../../src/domain/vocabulary.ts';
import { parseCron } from '../../../src/gateway/schedule/cron.ts';
import { GRACE_MS, MAX_CATCH_UP, MAX_STEP_BACK_MS, planFirings } from '../../../src/gateway/schedule/plan-firings.ts';

const HOUR = 3_600_000;
const NOON = Date.UTC(2026, 0, 1, 12);
const hourly = parseCron('@hourly', 'UTC');

const plan = (cursor: number, now: number, catchUp: CatchUp) => planFirings({ times: hourly, cursor, now, catchUp });

test('nothing is due between two times', () => {
  assert.deepEqual(plan(NOON, NOON + HOUR - 1, 'all'), { due: [], missed: undefined, cursor: NOON });
});

test('what is due is done on time, even a little late', () => {
  for (const late of [0, 1, GRACE_MS - 1]) {
    for (const catchUp of CATCH_UPS) {
      assert.deepEqual(plan(NOON, NOON + HOUR + late, catchUp), {
        due: [{ plannedAt: NOON + HOUR, cause: 'time' }],
        missed: undefined,
        cursor: NOON + HOUR,
      });
    }
  }
});

test('after five hours without a gateway: none, the latest once, or all', () => {
  const now = NOON + 5 * HOUR + 30 * 60_000;
  const latest = NOON + 5 * HOUR;
  assert.deepEqual(plan(NOON, now, 'none'), { due: [], missed: { plannedAt: latest, count: 5 }, cursor: latest });
  assert.deepEqual(plan(NOON, now, 'once'), {
    due: [{ plannedAt: latest, cause: 'catch_up' }],
    missed: { plannedAt: latest - HOUR, count: 4 },
    cursor: latest,
  });
  const all = plan(NOON, now, 'all');
  assert.deepEqual([all.due.length, all.missed, all.due[0]?.plannedAt], [5, undefined, NOON + HOUR]);
});

test('one that comes on time makes up for the ones before it', () => {
  const once = plan(NOON, NOON + 3 * HOUR, 'once');
  assert.deepEqual(once.due, [{ plannedAt: NOON + 3 * HOUR, cause: 'time' }]);
  assert.equal(once.missed?.count, 2);
});

test('a year without a gateway is no storm', () => {
  const everyMinute = parseCron('* * * * *', 'UTC');
  const now = NOON + 365 * 24 * HOUR + 30_000;
  const all = planFirings({ times: everyMinute, cursor: NOON, now, catchUp: 'all' });
  assert.equal(all.due.length, MAX_CATCH_UP);
  assert.equal(all.cursor, now - 30_000);
});

test('a clock that is set back repeats nothing; one that was far ahead is put right', () => {
  assert.deepEqual(plan(NOON, NOON - 2 * HOUR, 'all'), { due: [], missed: undefined, cursor: NOON });
  const wrong = NOON + MAX_STEP_BACK_MS + HOUR;
  assert.deepEqual(plan(wrong, NOON, 'all'), { due: [], missed: undefined, cursor: NOON });
});

test('whatever the clock does, no time is done twice, and none is lost from the account', () => {
  const step = fc.integer({ min: -2 * HOUR, max: 9 * HOUR });
  const property = fc.property(fc.array(step, { maxLength: 12 }), fc.constantFrom(...CATCH_UPS), (steps, catchUp) => {
    let now = NOON;
    let cursor = NOON;
    let furthest = NOON;
    const seen = new Set<number>();
    let counted = 0;
    for (const by of steps) {
      // Never further back than what is taken for a correction.
      now = Math.max(now + by, furthest - MAX_STEP_BACK_MS);
      furthest = Math.max(furthest, now);
      const { due, missed, cursor: next } = plan(cursor, now, catchUp);
      for (const { plannedAt } of due) {
        assert.ok(!seen.has(plannedAt) && plannedAt <= now);
        seen.add(plannedAt);
      }
      counted += due.length + (missed?.count ?? 0);
      cursor = next;
    }
    assert.equal(counted, Math.floor((furthest - NOON) / HOUR));
  });
  fc.assert(property, { numRuns: 50 });
});
