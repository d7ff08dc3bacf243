import assert from 'node:assert/strict';
import { test } from 'node:test';
import { RateByKey } from '../../../src/gateway/nodes/rate-by-key.ts';
import { FakeClock } from '../../support/fake-clock.ts';

test('some at once, then one in a while, each key by itself; what was refused is counted', async () => {
  const clock = new FakeClock();
  const rate = new RateByKey({ clock, burst: 3, refillMs: 1_000 });
  assert.deepEqual(
    [1, 2, 3, 4, 5].map(() => rate.take('a')),
    [0, 0, 0, undefined, undefined],
  );
  assert.equal(rate.take('b'), 0);
  await clock.advance(999);
  assert.equal(rate.take('a'), undefined);
  await clock.advance(1);
  assert.equal(rate.take('a'), 3);
  await clock.advance(3_600_000);
  assert.deepEqual(
    [1, 2, 3, 4].map(() => rate.take('a')),
    [0, 0, 0, undefined],
  );
});

test('keys that did nothing for long are forgotten, the others are not', async () => {
  const clock = new FakeClock();
  const rate = new RateByKey({ clock, burst: 1, refillMs: 60_000 });
  assert.equal(rate.take('a'), 0);
  for (let index = 0; index < 5_000; index += 1) rate.take(`other-${index}`);
  assert.equal(rate.take('a'), undefined);
});
