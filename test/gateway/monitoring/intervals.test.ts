import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { gapsWithin, mergeWithin, totalMs } from '../../../src/gateway/monitoring/intervals.ts';

const WINDOW = { from: 0, to: 100 };

test('overlapping and touching intervals become one, and are cut to the window', () => {
  const merged = mergeWithin(
    [
      { from: 60, to: 200 },
      { from: -50, to: 10 },
      { from: 5, to: 20 },
      { from: 20, to: 30 },
      { from: 40, to: 40 },
      { from: 150, to: 160 },
    ],
    WINDOW,
  );
  assert.deepEqual(merged, [
    { from: 0, to: 30 },
    { from: 60, to: 100 },
  ]);
  assert.deepEqual(gapsWithin(merged, WINDOW), [{ from: 30, to: 60 }]);
});

test('gaps at both ends, and all of an empty window', () => {
  assert.deepEqual(gapsWithin([{ from: 10, to: 90 }], WINDOW), [
    { from: 0, to: 10 },
    { from: 90, to: 100 },
  ]);
  assert.deepEqual(gapsWithin([], WINDOW), [WINDOW]);
  assert.deepEqual(gapsWithin([], { from: 5, to: 5 }), []);
});

test('covered and gaps never overlap and together make the window', () => {
  const interval = fc.tuple(fc.integer({ min: -50, max: 150 }), fc.integer({ min: -50, max: 150 }));
  fc.assert(
    fc.property(fc.array(interval), (pairs) => {
      const intervals = pairs.map(([from, to]) => ({ from, to }));
      const merged = mergeWithin(intervals, WINDOW);
      const all = [...merged, ...gapsWithin(merged, WINDOW)].sort((a, b) => a.from - b.from);
      let end = WINDOW.from;
      for (const { from, to } of all) {
        assert.equal(from, end);
        assert.ok(to > from);
        end = to;
      }
      assert.equal(end, WINDOW.to);
      for (let at = WINDOW.from; at < WINDOW.to; at += 1) {
        const covered = intervals.some(({ from, to }) => from <= at && at < to);
        assert.equal(
          merged.some(({ from, to }) => from <= at && at < to),
          covered,
        );
      }
      assert.ok(totalMs(merged) <= 100);
    }),
  );
});
