import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { statisticsOf } from '../../../src/gateway/monitoring/statistics.ts';

test('minimum, mean, maximum and 95th percentile', () => {
  const hundred = Array.from({ length: 100 }, (_, index) => index + 1);
  assert.deepEqual(statisticsOf(hundred), { min: 1, avg: 50.5, max: 100, p95: 95 });
  assert.deepEqual(statisticsOf([7]), { min: 7, avg: 7, max: 7, p95: 7 });
});

test('unknown figures do not count, and no figures have no statistics', () => {
  assert.deepEqual(statisticsOf([null, 4, null, 6]), { min: 4, avg: 5, max: 6, p95: 6 });
  assert.equal(statisticsOf([null]), null);
  assert.equal(statisticsOf([]), null);
});

test('min <= avg <= max, p95 within, and at least 95 % do not exceed p95', () => {
  fc.assert(
    fc.property(fc.array(fc.double({ noNaN: true, min: -1e9, max: 1e9 }), { minLength: 1 }), (figures) => {
      const statistics = statisticsOf(figures);
      assert.ok(statistics !== null);
      const { min, avg, max, p95 } = statistics;
      assert.ok(min <= avg && avg <= max && min <= p95 && p95 <= max);
      assert.ok(figures.includes(p95));
      assert.ok(figures.filter((figure) => figure <= p95).length >= figures.length * 0.95);
    }),
  );
});
