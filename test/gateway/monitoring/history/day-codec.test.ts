import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { addEncodedDay, encodeDay, newShownAggregates } from '../../../../src/gateway/monitoring/history/day-codec.ts';
import {
  addEncodedAggregates,
  addEncodedFigures,
  encodeAggregates,
  encodeFigures,
  newAggregates,
} from '../../../../src/gateway/monitoring/history/figure-codec.ts';
import { SHOWN_PLACES } from '../../../../src/gateway/monitoring/history/shown-figures.ts';
import { anyFigures, NO_FIGURES } from './any-figures.ts';

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

test('damaged bytes give wrong figures, and no failure', () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 300 }), (bytes) => {
      addEncodedDay(newShownAggregates(), bytes, (hour, index) => {
        assert.ok(hour >= 0 && hour < 24 && index >= 0 && index < SHOWN_PLACES.length);
      });
    }),
  );
});
