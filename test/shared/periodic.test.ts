import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Periodic } from '../../src/shared/clock.ts';
import { settle } from '../support/deadline.ts';
import { FakeClock } from '../support/fake-clock.ts';

test('steps follow each other, also after one that fails; close waits for the one under way, and none follows', async () => {
  const clock = new FakeClock();
  const happened: string[] = [];
  const gates: ReturnType<typeof Promise.withResolvers<number>>[] = [];
  const work = new Periodic({
    step: () => {
      const gate = Promise.withResolvers<number>();
      gates.push(gate);
      return gate.promise;
    },
    onFailure: (error) => happened.push(String(error)),
    retryMs: 100,
    clock,
  });
  work.start(10);
  await clock.advance(10);
  assert.equal(gates.length, 1);
  await clock.advance(10_000);
  assert.equal(gates.length, 1, 'never two at once');
  gates[0]?.reject(new Error('disk'));
  await settle();
  assert.deepEqual(happened, ['Error: disk']);
  await clock.advance(100);
  gates[1]?.resolve(5);
  await settle();
  await clock.advance(5);
  assert.equal(gates.length, 3);
  const closed = work.close().then(() => happened.push('closed'));
  await settle();
  assert.deepEqual(happened, ['Error: disk'], 'a step is under way');
  gates[2]?.resolve(5);
  await closed;
  assert.equal(clock.pendingTimers, 0);
});
