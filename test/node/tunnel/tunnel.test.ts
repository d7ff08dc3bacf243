import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Pending } from '../../../src/node/tunnel/connect-once.ts';
import { Tunnel, type UsableTunnel } from '../../../src/node/tunnel/tunnel.ts';
import { FleetError } from '../../../src/shared/errors.ts';
import { silentLogger } from '../../../src/shared/logger.ts';
import { settle, within } from '../../support/deadline.ts';
import { FakeClock } from '../../support/fake-clock.ts';

const lost = new FleetError('gateway_unreachable', 'nobody answers');

/** A tunnel whose attempts end as the test says. */
function setUp(random = () => 1) {
  const clock = new FakeClock();
  const attempts: {
    signal: AbortSignal;
    resolve(result: UsableTunnel | Pending): void;
    reject(error: Error): void;
    at: number;
  }[] = [];
  const codes: string[] = [];
  const tunnel = new Tunnel({
    clock,
    logger: silentLogger,
    random,
    onPending: (code) => void codes.push(code),
    attempt: (signal) =>
      new Promise((resolve, reject) => {
        attempts.push({ signal, resolve, reject, at: clock.monotonic() });
        signal.addEventListener('abort', () => reject(new FleetError('connection_lost', 'aborted')), { once: true });
      }),
  });
  const last = () => {
    const attempt = attempts.at(-1);
    assert.ok(attempt);
    return attempt;
  };
  const fail = async (error: Error = lost): Promise<void> => {
    last().reject(error);
    await settle(3);
  };
  const open = async (hello: object = {}) => {
    const closed = Promise.withResolvers<{ reason: string }>();
    const calls: string[] = [];
    const usable = {
      connection: { closed: closed.promise },
      hello: { name: 'web', ...hello },
      check: () => void calls.push('check'),
      stop: () => {
        calls.push('stop');
        closed.resolve({ reason: 'stopped' });
      },
    } as unknown as UsableTunnel;
    last().resolve(usable);
    await settle(3);
    return {
      calls,
      cut: async (reason = 'cut') => {
        closed.resolve({ reason });
        await settle(3);
      },
    };
  };
  return { clock, tunnel, attempts, codes, fail, open };
}

test('backs off between failures, up to the cap, forever', async () => {
  const { clock, tunnel, attempts, fail } = setUp();
  tunnel.start().catch(() => undefined);
  const delays: number[] = [];
  for (let n = 0; n < 9; n += 1) {
    await fail();
    const { retryAt, state, lastError } = tunnel.status;
    assert.deepEqual([state, lastError], ['waiting', lost]);
    const delay = (retryAt ?? 0) - clock.now();
    delays.push(delay);
    await clock.advance(delay - 1);
    assert.equal(attempts.length, n + 1);
    await clock.advance(1);
    await settle(3);
    assert.equal(attempts.length, n + 2);
  }
  assert.deepEqual(delays, [500, 1000, 2000, 4000, 8000, 16_000, 30_000, 30_000, 30_000]);
  await tunnel.close();
});

test('start resolves with the first usable tunnel; the first retry after a good one is at once, then small again', async () => {
  const { clock, tunnel, attempts, fail, open } = setUp();
  const started = tunnel.start();
  for (let n = 0; n < 5; n += 1) {
    await fail();
    await clock.advance(60_000);
    await settle(3);
  }
  const good = await open();
  await within(started, 'the start');
  assert.deepEqual([tunnel.status.state, tunnel.status.lastError, tunnel.status.connects], ['online', null, 1]);
  await clock.advance(10_000);
  const before = attempts.length;
  await good.cut();
  assert.equal(attempts.length, before + 1);
  assert.equal(tunnel.status.lastError?.code, 'connection_lost');
  await fail();
  assert.equal((tunnel.status.retryAt ?? 0) - clock.now(), 500);
  await tunnel.close();
});

test('a tunnel that was usable for less than ten seconds counts as a failure', async () => {
  const { clock, tunnel, attempts, open } = setUp();
  tunnel.start().catch(() => undefined);
  const delays: number[] = [];
  for (let n = 0; n < 4; n += 1) {
    const bad = await open();
    await clock.advance(9_999);
    await bad.cut();
    assert.equal(attempts.length, n + 1);
    delays.push((tunnel.status.retryAt ?? 0) - clock.now());
    await clock.advance(60_000);
    await settle(3);
  }
  assert.deepEqual(delays, [500, 1000, 2000, 4000]);
  await tunnel.close();
});

test('two machines with one key, of which each ends the tunnel of the other, slow down and stay slow', async () => {
  const { clock, tunnel, attempts, open } = setUp();
  tunnel.start().catch(() => undefined);
  const delays: number[] = [];
  // The other is back after a pause that grows as ours does, up to 30 s: longer than what makes a tunnel a good one.
  for (let n = 0; n < 12; n += 1) {
    const evicted = await open({ isSuspected: true });
    await clock.advance(Math.min(30_000, 500 * 2 ** n));
    await evicted.cut();
    assert.equal(attempts.length, n + 1, 'never at once');
    delays.push((tunnel.status.retryAt ?? 0) - clock.now());
    await clock.advance(60_000);
    await settle(3);
  }
  assert.deepEqual(delays.slice(0, 7), [500, 1000, 2000, 4000, 8000, 16_000, 30_000]);
  assert.deepEqual(new Set(delays.slice(6)), new Set([30_000]));
  const undisputed = await open({ isSuspected: true });
  await clock.advance(5 * 60_000);
  await undisputed.cut();
  assert.equal(attempts.length, 14, 'the other has gone');
  await tunnel.close();
});

test('a permanent refusal stops it, before the first tunnel and after', async () => {
  const refusal = new FleetError('key_revoked', 'revoked');
  for (const onceOnline of [false, true]) {
    const { clock, tunnel, attempts, fail, open } = setUp();
    const started = tunnel.start();
    started.catch(() => undefined);
    if (onceOnline) {
      const good = await open();
      await clock.advance(20_000);
      await good.cut();
      await within(started, 'the start');
    }
    await fail(refusal);
    assert.equal(await within(tunnel.ended, 'the end'), refusal);
    if (!onceOnline) await assert.rejects(started, (error) => error === refusal);
    assert.equal(tunnel.status.state, 'stopped');
    assert.equal(tunnel.status.lastError, refusal);
    await clock.advance(3_600_000);
    assert.equal(attempts.length, onceOnline ? 2 : 1);
  }
});

test('a nudge ends the pause, checks a live tunnel, and counts during an attempt', async () => {
  const { clock, tunnel, attempts, fail, open } = setUp();
  tunnel.start().catch(() => undefined);
  await fail();
  assert.equal(attempts.length, 1);
  tunnel.nudge();
  await settle(3);
  assert.equal(attempts.length, 2, 'during the pause');
  tunnel.nudge();
  await settle(3);
  assert.equal(attempts.length, 2, 'the attempt itself goes on');
  await fail();
  assert.equal(attempts.length, 3, 'but no pause follows it');
  await fail();
  assert.equal(attempts.length, 3, 'and the next pause is one again');
  await clock.advance(60_000);
  await settle(3);
  const good = await open();
  tunnel.nudge();
  assert.deepEqual(good.calls, ['check']);
  await tunnel.close();
});

test('close during an attempt, in the pause, and online: it stops, and nothing is left', async () => {
  for (const when of ['attempt', 'pause', 'online', 'attempt that succeeds all the same'] as const) {
    const { clock, tunnel, attempts, fail, open } = setUp();
    const started = tunnel.start();
    started.catch(() => undefined);
    let calls: string[] | undefined;
    if (when === 'pause') await fail();
    if (when === 'online') ({ calls } = await open());
    const closing = tunnel.close();
    if (when === 'attempt that succeeds all the same') await open();
    await within(closing, when);
    await tunnel.close();
    assert.equal(await within(tunnel.ended, 'the end'), undefined);
    assert.equal(tunnel.status.state, 'stopped', when);
    if (when === 'online') assert.equal(calls?.includes('stop'), true);
    else await assert.rejects(started, { code: 'not_running' });
    assert.equal(clock.pendingTimers, 0, when);
    assert.equal(attempts.length, 1);
    assert.equal(attempts[0]?.signal.aborted, true);
  }
});

test('while waiting for approval: the code once, slower and slower requests, then online', async () => {
  const { clock, tunnel, attempts, codes, open } = setUp();
  const started = tunnel.start();
  const pauses: number[] = [];
  for (let n = 0; n < 8; n += 1) {
    attempts.at(-1)?.resolve({ pendingCode: n < 6 ? '1234-5678' : '8765-4321', retryAfterMs: 2000 });
    await settle(3);
    assert.deepEqual([tunnel.status.state, tunnel.status.lastError], ['pending', null]);
    const at = clock.monotonic();
    while (attempts.length === n + 1) {
      await clock.advance(100);
      await settle(2);
    }
    pauses.push(clock.monotonic() - at);
  }
  assert.deepEqual(codes, ['1234-5678', '8765-4321']);
  assert.deepEqual(pauses.slice(0, 3), [2000, 3000, 4500]);
  assert.equal(pauses.at(-1), 15_000);
  await open();
  await within(started, 'the start');
  assert.equal(tunnel.status.pendingCode, null);
  await tunnel.close();
});

test('the time that it took to come up is that of the attempt, not of the approval before it', async () => {
  const { clock, tunnel, attempts, open } = setUp();
  tunnel.start().catch(() => undefined);
  attempts[0]?.resolve({ pendingCode: '12345678', retryAfterMs: 2_000 });
  await settle(3);
  await clock.advance(17_000);
  await clock.advance(300);
  await open();
  assert.ok(tunnel.status.connectMs > 0 && tunnel.status.connectMs <= 17_300 - 2_000, String(tunnel.status.connectMs));
  void tunnel.close();
});
