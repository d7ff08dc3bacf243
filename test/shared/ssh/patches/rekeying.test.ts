import assert from 'node:assert/strict';
import { test } from 'node:test';
import { SSH_LIMITS } from '../../../../src/shared/ssh/limits.ts';
import type { Ssh2Connection } from '../../../../src/shared/ssh/patches/internals.ts';
import { RekeyPolicy } from '../../../../src/shared/ssh/patches/rekeying.ts';
import { FakeClock } from '../../../support/fake-clock.ts';

function setUp(random = 0.5) {
  const clock = new FakeClock();
  const state = { rekeys: 0, kills: [] as string[] };
  const socket = { bytesRead: 0, bytesWritten: 0 };
  const protocol: { _kexinit: Buffer | undefined; rekey: () => void } = {
    _kexinit: undefined,
    rekey: () => {
      state.rekeys += 1;
      protocol._kexinit = Buffer.alloc(1);
    },
  };
  const connection = { _sock: socket, _protocol: protocol } as unknown as Ssh2Connection;
  const policy = new RekeyPolicy({
    internals: connection,
    options: { limits: SSH_LIMITS, clock, random: () => random },
    kill: (reason) => state.kills.push(reason),
  });
  const finish = (): void => {
    protocol._kexinit = undefined;
    policy.onHandshake();
  };
  return { clock, state, socket, protocol, policy, finish };
}

test('exchanges keys after a gigabyte, counted in both directions and again after each exchange', () => {
  const { state, socket, policy, finish } = setUp();
  finish();
  socket.bytesRead = 600 * 1024 * 1024;
  policy.onData();
  assert.equal(state.rekeys, 0);
  socket.bytesWritten = 424 * 1024 * 1024;
  policy.onData();
  policy.onData();
  assert.equal(state.rekeys, 1);
  finish();
  policy.onData();
  assert.equal(state.rekeys, 1);
  socket.bytesRead += 1024 * 1024 * 1024;
  policy.onData();
  assert.equal(state.rekeys, 2);
});

test('exchanges keys after an hour, spread by ±10 %, and goes on doing so', async () => {
  const early = setUp(0);
  early.finish();
  await early.clock.advance(54 * 60_000);
  assert.equal(early.state.rekeys, 1);
  early.finish();
  await early.clock.advance(54 * 60_000);
  assert.equal(early.state.rekeys, 2);

  const late = setUp(0.999);
  late.finish();
  await late.clock.advance(65 * 60_000);
  assert.equal(late.state.rekeys, 0);
  await late.clock.advance(60_000);
  assert.equal(late.state.rekeys, 1);
});

test('one exchange a second by the peer is tolerated for ever', async () => {
  const { clock, state, finish } = setUp();
  finish();
  for (let second = 0; second < 100; second += 1) {
    await clock.advance(1000);
    finish();
  }
  assert.deepEqual(state.kills, []);
});

test('a burst is tolerated, a flood is not', () => {
  const { state, finish } = setUp();
  finish();
  for (let count = 0; count < SSH_LIMITS.rekeyBurst; count += 1) finish();
  assert.deepEqual(state.kills, []);
  finish();
  assert.deepEqual(state.kills, ['rekey_flood']);
});

test('our own exchanges are not held against the peer', () => {
  const { state, socket, policy, finish } = setUp();
  finish();
  for (let count = 0; count < 50; count += 1) {
    socket.bytesRead += SSH_LIMITS.rekeyBytes;
    policy.onData();
    finish();
  }
  assert.equal(state.rekeys, 50);
  assert.deepEqual(state.kills, []);
});

test('an exchange that a dripping peer never finishes is cut', async () => {
  const { clock, state, protocol, policy, finish } = setUp();
  finish();
  protocol._kexinit = Buffer.alloc(1);
  policy.onData();
  await clock.advance(SSH_LIMITS.rekeyTimeoutMs);
  policy.onData();
  assert.deepEqual(state.kills, []);
  await clock.advance(1);
  policy.onData();
  assert.deepEqual(state.kills, ['rekey_timeout']);
});

test('stopping leaves no timer behind', () => {
  const { clock, policy, finish } = setUp();
  finish();
  policy.stop();
  assert.equal(clock.pendingTimers, 0);
});
