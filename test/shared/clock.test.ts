import assert from 'node:assert/strict';
import { test } from 'node:test';
import { sleep, systemClock } from '../../src/shared/clock.ts';
import { settle, within } from '../support/deadline.ts';
import { FakeClock } from '../support/fake-clock.ts';

test('a delay of more than 24.8 days does not fire at once', async () => {
  let fired = false;
  const timer = systemClock.after(40 * 86_400_000, () => {
    fired = true;
  });
  await new Promise((resolve) => setTimeout(resolve, 30));
  assert.equal(fired, false);
  timer.cancel();
});

test('a long delay is the sum of its steps, and can be canceled in any of them', (t) => {
  t.mock.timers.enable({ apis: ['setTimeout'] });
  let fired = 0;
  systemClock.after(40 * 86_400_000, () => {
    fired += 1;
  });
  const canceled = systemClock.after(40 * 86_400_000, () => assert.fail('it was canceled'));
  t.mock.timers.tick(2 ** 31 - 1);
  canceled.cancel();
  t.mock.timers.tick(40 * 86_400_000 - (2 ** 31 - 1) - 1);
  assert.equal(fired, 0);
  t.mock.timers.tick(1);
  assert.equal(fired, 1);
});

test('sleep ends with its time, and leaves no listener on the signal', async () => {
  const clock = new FakeClock();
  const { signal } = new AbortController();
  let listeners = 0;
  const add = signal.addEventListener.bind(signal);
  const remove = signal.removeEventListener.bind(signal);
  signal.addEventListener = ((...args: Parameters<typeof add>) => {
    listeners += 1;
    add(...args);
  }) as typeof signal.addEventListener;
  signal.removeEventListener = ((...args: Parameters<typeof remove>) => {
    listeners -= 1;
    remove(...args);
  }) as typeof signal.removeEventListener;
  const sleeping = sleep(clock, 1000, signal);
  assert.equal(listeners, 1);
  await clock.advance(1000);
  await within(sleeping, 'sleep');
  assert.equal(listeners, 0);
  assert.equal(clock.pendingTimers, 0);
});

test('sleep ends at once when it is aborted, before or during, and leaves no timer', async () => {
  const clock = new FakeClock();
  const controller = new AbortController();
  const sleeping = sleep(clock, 1000, controller.signal);
  await settle();
  controller.abort();
  await within(sleeping, 'aborted sleep');
  await within(sleep(clock, 1000, controller.signal), 'sleep on an aborted signal');
  assert.equal(clock.pendingTimers, 0);
});
