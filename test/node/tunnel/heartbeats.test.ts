import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { OpenTunnel } from '../../../src/node/tunnel/connect-once.ts';
import { Heartbeats } from '../../../src/node/tunnel/heartbeats.ts';
import { StepDetector } from '../../../src/shared/clock.ts';
import { FleetError } from '../../../src/shared/errors.ts';
import { silentLogger } from '../../../src/shared/logger.ts';
import { settle } from '../../support/deadline.ts';
import { FakeClock } from '../../support/fake-clock.ts';

function setUp() {
  const clock = new FakeClock();
  const state = {
    sent: [] as (number | null)[],
    closed: [] as number[],
    renewed: [] as number[],
    answers: [] as string[],
    failure: undefined as Error | undefined,
  };
  let gate: Promise<void> | undefined;
  const tunnel = {
    hello: { heartbeatIntervalMs: 30_000 },
    connection: { close: () => void state.closed.push(1) },
    client: {
      heartbeat: async (beat: { rttMs: number | null }) => {
        state.sent.push(beat.rttMs);
        await gate;
        if (state.failure !== undefined) throw state.failure;
        return { name: 'web', rttMs: 12, time: 0, tookMs: 0 };
      },
    },
  } as unknown as OpenTunnel;
  const heartbeats = new Heartbeats({
    tunnel,
    clock,
    logger: silentLogger,
    sample: async (rttMs) => ({ rttMs }) as never,
    beforeBeat: async () => void state.renewed.push(1),
    onAnswer: ({ name }) => void state.answers.push(name),
  });
  const hold = (): (() => void) => {
    const { promise, resolve } = Promise.withResolvers<void>();
    gate = promise;
    return () => {
      gate = undefined;
      resolve();
    };
  };
  return { clock, heartbeats, state, hold, tunnel };
}

test('the first is part of the start; each carries the previous round trip, after the token was checked', async () => {
  const { clock, heartbeats, state } = setUp();
  await heartbeats.start();
  assert.deepEqual([state.sent, state.renewed.length], [[null], 0]);
  await clock.advance(1_999);
  assert.equal(state.sent.length, 1);
  // The second comes soon: only it has a round trip.
  await clock.advance(1);
  await settle();
  assert.deepEqual(state.sent, [null, 12]);
  await clock.advance(29_999);
  assert.equal(state.sent.length, 2);
  await clock.advance(1);
  await settle();
  assert.deepEqual([state.sent, state.renewed.length, state.answers.length], [[null, 12, 12], 2, 3]);
  heartbeats.close();
  assert.equal(clock.pendingTimers, 0);
});

test('a first heartbeat that fails is a failed start', async () => {
  const { clock, heartbeats, state } = setUp();
  state.failure = new FleetError('timeout', 'late');
  await assert.rejects(heartbeats.start(), { code: 'timeout' });
  assert.equal(clock.pendingTimers, 0);
});

test('a failed heartbeat ends the connection, and no more are sent', async () => {
  const { clock, heartbeats, state } = setUp();
  await heartbeats.start();
  state.failure = new FleetError('timeout', 'late');
  await clock.advance(30_000);
  await settle();
  assert.equal(state.closed.length, 1);
  await clock.advance(300_000);
  assert.equal(state.sent.length, 2);
});

test("checks don't increase the heartbeat rate, however many there are", async () => {
  const { clock, heartbeats, state, hold } = setUp();
  await heartbeats.start();
  const release = hold();
  await clock.advance(30_000);
  for (let n = 0; n < 5; n += 1) heartbeats.check();
  release();
  await settle();
  const before = state.sent.length;
  assert.equal(clock.pendingTimers, 1);
  await clock.advance(300_000);
  await settle();
  assert.equal(state.sent.length - before, 10);
  heartbeats.close();
  assert.equal(clock.pendingTimers, 0);
});

test('one at a time: a check during a heartbeat is answered by that one', async () => {
  const { clock, heartbeats, state, hold } = setUp();
  await heartbeats.start();
  const release = hold();
  heartbeats.check();
  await settle(3);
  for (let n = 0; n < 3; n += 1) heartbeats.check();
  await clock.advance(60_000);
  assert.equal(state.sent.length, 2);
  release();
  await settle(3);
  await clock.advance(30_000);
  await settle(3);
  assert.equal(state.sent.length, 3, 'and the heart beats on');
  heartbeats.close();
});

test('a check finds a dead tunnel at once', async () => {
  const { heartbeats, state } = setUp();
  await heartbeats.start();
  state.failure = new FleetError('timeout', 'late');
  heartbeats.check();
  await settle();
  assert.equal(state.closed.length, 1);
});

test('close during a heartbeat leaves no timer, and its failure is ignored', async () => {
  const { clock, heartbeats, state, hold } = setUp();
  await heartbeats.start();
  for (const failure of [undefined, new FleetError('timeout', 'late')]) {
    const release = hold();
    heartbeats.check();
    await settle();
    heartbeats.close();
    state.failure = failure;
    release();
    await settle();
    assert.deepEqual([clock.pendingTimers, state.closed.length], [0, 0]);
  }
});

test('a jump of the wall clock is noticed in either direction, slow time and small steps are not', async () => {
  const clock = new FakeClock();
  const jumps: number[] = [];
  const detector = new StepDetector(clock, (jumpMs) => void jumps.push(jumpMs));
  detector.start();
  await clock.advance(60_000);
  clock.jumpWall(9_999);
  await clock.advance(4_000);
  assert.deepEqual(jumps, []);
  clock.jumpWall(3_600_000);
  await clock.advance(2_000);
  clock.jumpWall(-20_000);
  await clock.advance(60_000);
  assert.deepEqual(jumps, [3_600_000, -20_000]);
  detector.close();
  assert.equal(clock.pendingTimers, 0);
});

test('a gateway cannot make a node read its machine all the time', async () => {
  const { clock, state, heartbeats, tunnel } = setUp();
  tunnel.hello.heartbeatIntervalMs = 1;
  await heartbeats.start();
  for (let step = 0; step < 100; step += 1) {
    await clock.advance(10);
    await settle(3);
  }
  assert.ok(state.sent.length >= 2 && state.sent.length <= 6, `${state.sent.length} heartbeats in a second`);
  heartbeats.close();
});
