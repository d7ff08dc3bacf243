import assert from 'node:assert/strict';
import { EventEmitter } from 'node:events';
import { PassThrough } from 'node:stream';
import { test } from 'node:test';
import { ChannelSocket } from '../../../../src/shared/ssh/connection/channel-socket.ts';
import type { RawChannel } from '../../../../src/shared/ssh/patches/internals.ts';
import { FakeClock } from '../../../support/fake-clock.ts';

/** A channel over an echo, and how often it was idle for too long. */
function setUp() {
  const clock = new FakeClock();
  const direction = { state: 'open' };
  const raw = Object.assign(new PassThrough(), {
    stderr: new EventEmitter(),
    incoming: direction,
    outgoing: direction,
    eof() {},
    close() {},
  }) as unknown as RawChannel;
  const gate = { isOpen: true } as never;
  const socket = new ChannelSocket(raw, { gate, clock, allowHalfOpen: true, onRead: () => {} });
  const state = { timeouts: 0 };
  socket.on('timeout', () => {
    state.timeouts += 1;
  });
  socket.resume();
  return { clock, socket, state };
}

test('times out after silence, and only after silence', async () => {
  const { clock, socket, state } = setUp();
  socket.setTimeout(1000);
  for (let step = 0; step < 5; step += 1) {
    await clock.advance(900);
    socket.write('x');
  }
  assert.equal(state.timeouts, 0);
  assert.equal(clock.pendingTimers, 1);
  await clock.advance(1000);
  assert.equal(state.timeouts, 1);
});

test('times out once per silence, and again after new activity', async () => {
  const { clock, socket, state } = setUp();
  socket.setTimeout(1000);
  await clock.advance(10_000);
  assert.equal(state.timeouts, 1);
  socket.write('x');
  await clock.advance(1000);
  assert.equal(state.timeouts, 2);
});

test('neither a timeout of 0 nor the end of the channel leaves a timer behind', async () => {
  const { clock, socket, state } = setUp();
  socket.setTimeout(1000);
  socket.setTimeout(0);
  socket.write('x');
  assert.equal(clock.pendingTimers, 0);
  socket.setTimeout(1000);
  socket.destroy();
  assert.equal(clock.pendingTimers, 0);
  await clock.advance(5000);
  assert.equal(state.timeouts, 0);
});
