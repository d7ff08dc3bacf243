import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { FIGURES } from '../../../../src/gateway/monitoring/history/figures.ts';
import { NodeHistory } from '../../../../src/gateway/monitoring/history/node-history.ts';
import { FIVE_MINUTES_MS } from '../../../../src/gateway/monitoring/history/resolutions.ts';
import {
  addEncodedAggregates,
  addEncodedFigures,
  encodeAggregates,
  encodeFigures,
  newAggregates,
} from '../../../../src/gateway/monitoring/history/row-codec.ts';
import { anyFigures } from './any-figures.ts';

const SHOWN = ['cpuPct', 'memUsedPct', 'diskUsedPct', 'rttMs'] as const;
const PARTS = 4;

/** A row of the time `part`, a heartbeat alone or a bucket of some. */
const anyRow = fc.record({
  part: fc.nat({ max: PARTS - 1 }),
  isBucket: fc.boolean(),
  beats: fc.array(anyFigures, { minLength: 1, maxLength: 5 }),
});

test('skipping figures that are not shown gives the same result as reading every row in full', () => {
  fc.assert(
    fc.property(fc.array(anyRow, { maxLength: 8 }), (rows) => {
      const history = new NodeHistory({ from: 0, to: PARTS, parts: PARTS });
      const whole = newAggregates();
      const parts = Array.from({ length: PARTS }, newAggregates);
      for (const { part, isBucket, beats } of rows) {
        const ofRow = newAggregates();
        for (const beat of isBucket ? beats : beats.slice(0, 1)) addEncodedFigures(ofRow, encodeFigures(beat));
        const bytes = encodeAggregates(ofRow);
        addEncodedAggregates(whole, bytes);
        addEncodedAggregates(parts[part] ?? [], bytes);
        const [beat] = beats;
        if (isBucket) history.add('5m', part - FIVE_MINUTES_MS / 2, bytes);
        else if (beat !== undefined) history.add('raw', part, encodeFigures(beat));
      }
      for (const name of SHOWN) {
        const index = FIGURES.findIndex((figure) => figure.name === name);
        const scale = FIGURES[index]?.scale ?? 1;
        assert.deepEqual(history.statistics(name), whole[index]?.statistics(scale) ?? null);
        const means = parts.map((all) => {
          const { count, sum } = all[index] ?? { count: 0, sum: 0 };
          return count === 0 ? null : sum / count / scale;
        });
        for (const [part, mean] of history.series(name).entries()) {
          const expected = means[part] ?? null;
          // Sums are kept as differences of the whole's, which rounds in the last digits.
          assert.equal(mean === null, expected === null);
          assert.ok(Math.abs((mean ?? 0) - (expected ?? 0)) <= 0.011, `${name} ${mean} ${expected}`);
        }
      }
    }),
  );
});
