import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { Backoff, TUNNEL_BACKOFF } from '../../src/shared/clock.ts';

test('doubles up to the cap, and begins anew after a reset', () => {
  const backoff = new Backoff({ ...TUNNEL_BACKOFF, random: () => 1 });
  assert.deepEqual(
    [...Array(8)].map(() => backoff.next()),
    [500, 1000, 2000, 4000, 8000, 16_000, 30_000, 30_000],
  );
  backoff.reset();
  assert.equal(backoff.next(), 500);
});

test('is jittered after the cap, between half and all of it, for ever', () => {
  fc.assert(
    fc.property(
      fc.integer({ min: 0, max: 2000 }),
      fc.double({ min: 0, max: 1, maxExcluded: true, noNaN: true }),
      (n, random) => {
        const backoff = new Backoff({ ...TUNNEL_BACKOFF, random: () => random });
        for (let failure = 0; failure < n; failure += 1) backoff.next();
        const capped = Math.min(30_000, 500 * 2 ** n);
        const delay = backoff.next();
        assert.ok(delay >= capped / 2 && delay <= capped, `${delay} of ${capped}`);
      },
    ),
  );
});
