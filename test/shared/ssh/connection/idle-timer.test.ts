import assert from 'node:assert/strict';
import { test } from 'node:test';
import { IdleTimer } from '../../../../src/shared/ssh/connection/channel-socket.ts';
import { FakeClock } from '../../../support/fake-clock.ts';

test('fires after silence, and only after silence', async () => {
  const clock = new FakeClock();
  let fired = 0;
  const timer = new IdleTimer(clock, () => {
    fired += 1;
  });
  timer.start(1000);
  for (let step = 0; step < 5; step += 1) {
    await clock.advance(900);
    timer.touch();
  }
  assert.equal(fired, 0);
  assert.equal(clock.pendingTimers, 1);
  await clock.advance(1000);
  assert.equal(fired, 1);
});

test('fires once per silence, and again after new activity', async () => {
  const clock = new FakeClock();
  let fired = 0;
  const timer = new IdleTimer(clock, () => {
    fired += 1;
  });
  timer.start(1000);
  await clock.advance(10_000);
  assert.equal(fired, 1);
  timer.touch();
  await clock.advance(1000);
  assert.equal(fired, 2);
});

test('stopping leaves no timer behind', async () => {
  const clock = new FakeClock();
  const timer = new IdleTimer(clock, () => assert.fail('fired'));
  timer.start(1000);
  timer.stop();
  timer.touch();
  assert.equal(clock.pendingTimers, 0);
  await clock.advance(5000);
});
