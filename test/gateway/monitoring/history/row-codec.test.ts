import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { Aggregate } from '../../../../src/gateway/monitoring/history/aggregate.ts';
import { FIGURES, SHOWN_PLACES } from '../../../../src/gateway/monitoring/history/figures.ts';
import {
  addEncodedAggregates,
  addEncodedDay,
  addEncodedFigures,
  encodeAggregates,
  encodeDay,
  encodeFigures,
  newAggregates,
  newShownAggregates,
} from '../../../../src/gateway/monitoring/history/row-codec.ts';
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
    }),
  );
  const writer = new VarintWriter();
  for (const value of [0, -1, 63, -64]) writer.signed(value);
  assert.equal(writer.finish().length, 4);
});

test('a heartbeat round-trips to a tenth or a hundredth, and unknown figures stay unknown', () => {
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

test('merging stored pieces equals adding heartbeat by heartbeat', () => {
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
      assert.deepEqual(merged, whole);
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

test('readings that are negative, zero or huge have their place in the distribution', () => {
  const p95Of = (...values: number[]) => {
    const aggregate = new Aggregate(true);
    for (const value of values) aggregate.add(value);
    return aggregate.statistics(1)?.p95 ?? Number.NaN;
  };
  assert.equal(p95Of(-5, 0), 0);
  assert.equal(p95Of(-5, -3), -3);
  assert.ok(Math.abs(p95Of(-5, 1, ...Array<number>(98).fill(1)) - 1) <= 0.05);
  assert.ok(p95Of(0, 1e300) > 1e10);
  fc.assert(
    fc.property(fc.nat(), fc.nat(), (a, b) => {
      assert.ok(p95Of(0, Math.max(a, b)) >= p95Of(0, Math.min(a, b)));
    }),
  );
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
    processRssMib: 61.2,
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

const anyHour = fc.option(fc.array(anyFigures, { minLength: 1, maxLength: 4 }), { nil: undefined, freq: 4 });

test('a day is what its hours are together, and knows how many readings each hour had and their sum', () => {
  fc.assert(
    fc.property(fc.array(anyHour, { minLength: 24, maxLength: 24 }), (beats) => {
      const hours = beats.map((list) => {
        const hour = newAggregates();
        for (const figures of list ?? []) addEncodedFigures(hour, encodeFigures(figures));
        return list === undefined ? undefined : encodeAggregates(hour);
      });
      const expected = newShownAggregates();
      for (const bytes of hours) if (bytes !== undefined) addEncodedAggregates(expected, bytes);
      const expectedHours = hours.flatMap((bytes, hour) => {
        const alone = newShownAggregates();
        if (bytes !== undefined) addEncodedAggregates(alone, bytes);
        return SHOWN_PLACES.flatMap((place, index) => {
          const { count = 0, sum = 0 } = alone[place] ?? {};
          return count === 0 ? [] : [{ hour, index, count, sum }];
        });
      });
      const day = encodeDay(hours);
      assert.equal(day === undefined, expectedHours.length === 0);
      if (day === undefined) return;
      const found = newShownAggregates();
      const foundHours: typeof expectedHours = [];
      addEncodedDay(found, day, (hour, index, count, sum) => foundHours.push({ hour, index, count, sum }));
      assert.deepEqual(found, expected);
      assert.deepEqual(foundHours, expectedHours);
    }),
  );
});

test('a usual day takes less room than three of its hours', () => {
  const hours = Array.from({ length: 24 }, (_, hour) => {
    const aggregates = newAggregates();
    for (let beat = 0; beat < 120; beat += 1) {
      const wave = Math.sin(beat) + Math.sin(hour + beat * 7);
      const beatFigures = {
        ...NO_FIGURES,
        cpuPct: 12 + 4 * wave,
        memUsedPct: 41 + wave,
        diskUsedPct: 63.2,
        rttMs: 23 + wave,
      };
      addEncodedFigures(aggregates, encodeFigures({ ...beatFigures, load1: 0.5 + wave / 5, skewMs: 4 }));
    }
    return encodeAggregates(aggregates);
  });
  const bytes = encodeDay(hours)?.length ?? 0;
  assert.ok(bytes > 0 && bytes < 3 * (hours[0]?.length ?? 0), `${bytes} bytes`);
});

test('a damaged day gives wrong figures, and no failure', () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 300 }), (bytes) => {
      addEncodedDay(newShownAggregates(), bytes, (hour, index) => {
        assert.ok(hour >= 0 && hour < 24 && index >= 0 && index < SHOWN_PLACES.length);
      });
    }),
  );
});
