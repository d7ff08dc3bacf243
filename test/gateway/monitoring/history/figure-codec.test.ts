import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { Aggregate, binOf, SKETCH_BINS } from '../../../../src/gateway/monitoring/history/aggregate.ts';
import {
  addEncodedAggregates,
  addEncodedFigures,
  encodeAggregates,
  encodeFigures,
  newAggregates,
} from '../../../../src/gateway/monitoring/history/figure-codec.ts';
import { FIGURES } from '../../../../src/gateway/monitoring/history/figures.ts';
import { VarintReader, VarintWriter } from '../../../../src/gateway/monitoring/history/varints.ts';
import { anyFigures, NO_FIGURES } from './any-figures.ts';

test('any whole number comes back, small ones in one byte', () => {
  fc.assert(
    fc.property(fc.array(fc.integer({ min: -(2 ** 48), max: 2 ** 48 })), (values) => {
      const writer = new VarintWriter();
      for (const value of values) {
        writer.signed(value);
        writer.unsigned(Math.abs(value));
      }
      const reader = new VarintReader(writer.finish());
      for (const value of values) assert.deepEqual([reader.signed(), reader.unsigned()], [value, Math.abs(value)]);
      assert.ok(reader.isAtEnd);
    }),
  );
  const writer = new VarintWriter();
  for (const value of [0, -1, 63, -64]) writer.signed(value);
  assert.equal(writer.finish().length, 4);
});

test('a heartbeat comes back to a tenth or a hundredth, and what was not known is not known', () => {
  fc.assert(
    fc.property(anyFigures, (figures) => {
      const aggregates = newAggregates();
      addEncodedFigures(aggregates, encodeFigures(figures));
      FIGURES.forEach(({ name, scale }, index) => {
        const value = figures[name];
        const statistics = aggregates[index]?.statistics(scale) ?? null;
        if (value === null) assert.equal(statistics, null);
        else assert.ok(Math.abs((statistics?.avg ?? Number.NaN) - value) <= 0.5 / scale + 1e-9, name);
      });
    }),
  );
});

test('merging what is stored in any pieces is adding up heartbeat by heartbeat', () => {
  fc.assert(
    fc.property(fc.array(fc.array(anyFigures, { maxLength: 12 }), { maxLength: 6 }), (pieces) => {
      const whole = newAggregates();
      const merged = newAggregates();
      for (const piece of pieces) {
        const part = newAggregates();
        for (const figures of piece) {
          addEncodedFigures(part, encodeFigures(figures));
          addEncodedFigures(whole, encodeFigures(figures));
        }
        addEncodedAggregates(merged, encodeAggregates(part));
      }
      assert.deepEqual(encodeAggregates(merged), encodeAggregates(whole));
      const plain = (aggregates: readonly Aggregate[]) => aggregates.map(({ hasSketch: _, ...rest }) => rest);
      assert.deepEqual(plain(merged), plain(whole));
    }),
  );
});

test('the 95th percentile is off by 5 % of itself at most', () => {
  fc.assert(
    fc.property(fc.array(fc.nat({ max: 1e8 }), { minLength: 1, maxLength: 300 }), (values) => {
      const aggregate = new Aggregate(true);
      for (const value of values) aggregate.add(value);
      const sorted = [...values].sort((a, b) => a - b);
      const exact = sorted[Math.ceil(sorted.length * 0.95) - 1] ?? Number.NaN;
      const { min, avg, max, p95 } = aggregate.statistics(1) ?? { min: 0, avg: 0, max: 0, p95: 0 };
      assert.ok(Math.abs(p95 - exact) <= exact * 0.05, `${p95} for ${exact}`);
      assert.ok(min <= avg && avg <= max && min <= p95 && p95 <= max);
    }),
  );
});

test('bins: in order, the first for nothing, the last for all that is large', () => {
  assert.equal(binOf(0), 0);
  assert.equal(binOf(-5), 0);
  assert.equal(binOf(1), 1);
  assert.equal(binOf(1e300), SKETCH_BINS - 1);
  fc.assert(fc.property(fc.nat(), fc.nat(), (a, b) => binOf(Math.max(a, b)) >= binOf(Math.min(a, b))));
});

test('rows are short: a usual hour takes some 100 bytes, a heartbeat some 30', () => {
  const usual = {
    ...NO_FIGURES,
    cpuPct: 12.3,
    load1: 0.42,
    memUsedPct: 41.7,
    diskUsedPct: 63.2,
    rttMs: 23.51,
    skewMs: 4,
  };
  const busy = {
    ...usual,
    rxBytesPerS: 12_345,
    txBytesPerS: 2_345,
    eventLoopLagMs: 0.4,
    agentRssMib: 61.2,
    jitterMs: 1.2,
  };
  assert.ok(encodeFigures(busy).length <= 32);
  const hour = newAggregates();
  for (let index = 0; index < 120; index += 1) {
    const wave = Math.sin(index) + Math.sin(index * 7);
    addEncodedFigures(
      hour,
      encodeFigures({
        ...busy,
        cpuPct: 12 + wave * 4,
        load1: 0.5 + wave / 5,
        rttMs: 23 + wave,
        rxBytesPerS: 9_000 + wave,
      }),
    );
  }
  assert.ok(encodeAggregates(hour).length <= 170, String(encodeAggregates(hour).length));
});

test('damaged bytes give wrong figures, and no failure', () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 200 }), (bytes) => {
      addEncodedAggregates(newAggregates(), bytes);
      addEncodedFigures(newAggregates(), bytes);
    }),
  );
});
