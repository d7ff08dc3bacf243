import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { type DiskTrend, forecastDisk } from '../../../../src/gateway/monitoring/history/disk-history.ts';

const HOUR_MS = 3_600_000;
const NOW = Date.UTC(2026, 5, 1);
const FROM = NOW - 14 * 24 * HOUR_MS;

/** The sums that the store would give for hourly readings that end now. */
function trendOf(values: readonly number[]): Omit<DiskTrend, 'mount'> {
  const lastHour = NOW / HOUR_MS;
  const points = values.map((pct, index) => ({
    hour: lastHour - values.length + 1 + index,
    x: lastHour - values.length + 1 + index - Math.floor(FROM / HOUR_MS),
    pct,
  }));
  const sum = (of: (point: (typeof points)[number]) => number) => points.reduce((total, point) => total + of(point), 0);
  return {
    readings: points.length,
    firstHour: points[0]?.hour ?? 0,
    lastHour: points.at(-1)?.hour ?? 0,
    sumHours: sum(({ x }) => x),
    sumSquaredHours: sum(({ x }) => x * x),
    sumPct: sum(({ pct }) => pct),
    sumSquaredPct: sum(({ pct }) => pct * pct),
    sumProducts: sum(({ x, pct }) => x * pct),
  };
}

const forecast = (values: readonly number[]) => forecastDisk(trendOf(values), FROM, NOW);
const hours = (count: number, of: (hour: number) => number) => Array.from({ length: count }, (_, hour) => of(hour));

test('a disk that fills steadily says when it is full', () => {
  const found = forecast(hours(73, (hour) => 80 + hour / 12));
  assert.ok(found !== null);
  assert.equal(Math.round(found.risePctPerDay * 100) / 100, 2);
  assert.equal(Math.round((found.fullAt - NOW) / HOUR_MS), 14 * 12);
});

test('no forecast for a disk that shrinks, stays, is noisy, is cleaned now and then, or is too new', () => {
  assert.equal(forecast(hours(100, (hour) => 90 - hour / 20)), null);
  assert.equal(forecast(hours(100, () => 90)), null);
  assert.equal(forecast(hours(100, (hour) => 60 + 25 * Math.abs(Math.sin(hour * 12.9898)))), null);
  assert.equal(forecast(hours(100, (hour) => 60 + (hour % 24))), null);
  assert.equal(forecast(hours(20, (hour) => 60 + hour)), null);
  assert.equal(forecast([]), null);
});

test('no forecast further ahead than the history supports', () => {
  assert.equal(forecast(hours(25, (hour) => 20 + hour / 24)), null, '79 days, of one day');
  assert.equal(forecast(hours(300, (hour) => 20 + hour / 100)), null, '320 days');
});

test('a disk that is full is full now', () => {
  assert.equal(forecast(hours(48, (hour) => Math.min(100, 60 + hour)))?.fullAt, NOW);
});

test('whatever the history: a time from now on, a rise, or nothing', () => {
  fc.assert(
    fc.property(fc.array(fc.double({ min: 0, max: 100, noNaN: true }), { maxLength: 336 }), (values) => {
      const found = forecast(values);
      if (found === null) return;
      assert.ok(found.fullAt >= NOW && found.fullAt <= NOW + 61 * 24 * HOUR_MS && found.risePctPerDay > 0);
    }),
  );
});

test('a steady rise under a little noise is found to a tenth of the time left', () => {
  fc.assert(
    fc.property(
      fc.integer({ min: 48, max: 336 }),
      fc.double({ min: 0.05, max: 0.1, noNaN: true }),
      fc.integer(),
      (count, risePerHour, seed) => {
        const noise = (hour: number) => Math.sin(seed + hour * 12.9898) * 0.1;
        const end = 60 + count * risePerHour;
        const found = forecast(hours(count, (hour) => 60 + hour * risePerHour + noise(hour)));
        const exactHours = (100 - end) / risePerHour;
        if (exactHours > Math.min(50 * 24, 5 * (count - 1) * 0.8)) return;
        assert.ok(found !== null);
        assert.ok(Math.abs((found.fullAt - NOW) / HOUR_MS - exactHours) < exactHours * 0.15 + 2);
      },
    ),
  );
});
