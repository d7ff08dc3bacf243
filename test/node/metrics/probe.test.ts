import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Probe } from '../../../src/node/metrics/probe.ts';
import type { Logger } from '../../../src/shared/logger.ts';
import { silentLogger } from '../../../src/shared/logger.ts';
import { FakeClock } from '../../support/fake-clock.ts';

function probeOf<T>(read: () => Promise<T>, maxAgeMs: number) {
  const clock = new FakeClock();
  const debugs: object[] = [];
  const logger: Logger = { ...silentLogger, debug: (facts) => void debugs.push(facts) };
  return { clock, debugs, probe: new Probe({ name: 'figure', read, maxAgeMs, clock, logger }) };
}

test('reads again only when the answer is too old', async () => {
  let reads = 0;
  const { probe, clock } = probeOf(async () => ++reads, 1000);
  assert.equal(await probe.get(10), 1);
  await clock.advance(999);
  assert.equal(await probe.get(10), 1);
  await clock.advance(1);
  assert.equal(await probe.get(10), 2);
});

test('with age 0 it reads each time', async () => {
  let reads = 0;
  const { probe } = probeOf(async () => ++reads, 0);
  await probe.get(10);
  assert.equal(await probe.get(10), 2);
});

test('a failure is null and one debug line, and is not repeated before its time', async () => {
  let reads = 0;
  const { probe, clock, debugs } = probeOf(async () => {
    reads += 1;
    if (reads === 2) throw new Error('sensor gone');
    return reads;
  }, 1000);
  assert.equal(await probe.get(10), 1);
  await clock.advance(1000);
  assert.equal(await probe.get(10), null);
  assert.equal(await probe.get(10), null);
  assert.equal(reads, 2);
  assert.equal(debugs.length, 1);
  await clock.advance(1000);
  assert.equal(await probe.get(10), 3);
});

test('a read that throws before it returns a promise is a failure too', async () => {
  const { probe, debugs } = probeOf<number>(() => {
    throw new Error('no such call');
  }, 0);
  assert.equal(await probe.get(10), null);
  assert.equal(await probe.get(10), null);
  assert.equal(debugs.length, 2, 'and is tried again');
});

test('a read that hangs costs one deadline, is never started twice, and serves late', { timeout: 10_000 }, async () => {
  let reads = 0;
  const { promise, resolve } = Promise.withResolvers<string>();
  const { probe, clock, debugs } = probeOf(() => {
    reads += 1;
    return promise;
  }, 60_000);
  const first = probe.get(250);
  await clock.advance(250);
  assert.equal(await first, null);
  // No timer is turned here: the second call must not wait.
  assert.equal(await probe.get(250), null);
  assert.equal(reads, 1);
  assert.equal(debugs.length, 1);
  resolve('late');
  await clock.advance(1);
  assert.equal(await probe.get(250), 'late');
  assert.equal(reads, 1);
  assert.equal(clock.pendingTimers, 0);
});
