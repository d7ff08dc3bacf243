import assert from 'node:assert/strict';
import { test } from 'node:test';
import { untilStored } from '../../../src/node/runner/run-record.ts';
import { FakeClock } from '../../support/fake-clock.ts';

test('it tries on with growing pauses, and says the fault once', async () => {
  const clock = new FakeClock();
  const at: number[] = [];
  const faults: unknown[] = [];
  const stored = untilStored(
    () => {
      at.push(clock.monotonic());
      if (at.length < 9) throw new Error('full');
    },
    { clock, signal: new AbortController().signal, onFailure: (error) => faults.push(error) },
  );
  for (let i = 0; i < 400; i += 1) await clock.advance(50);
  assert.equal(await stored, true);
  assert.deepEqual(at, [0, 100, 300, 700, 1500, 3100, 6300, 11_300, 16_300]);
  assert.equal(faults.length, 1);
  assert.equal(clock.pendingTimers, 0);
});

test('it tries once even if nobody waits any more, and then gives up', async () => {
  const clock = new FakeClock();
  let tries = 0;
  const options = { clock, signal: AbortSignal.abort(), onFailure: () => {} };
  const refuse = (): void => {
    tries += 1;
    throw new Error('full');
  };
  assert.equal(await untilStored(refuse, options), false);
  assert.equal(tries, 1);
  assert.equal(await untilStored(() => {}, options), true);
  assert.equal(clock.pendingTimers, 0);
});
