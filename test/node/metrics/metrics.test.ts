import assert from 'node:assert/strict';
import { test } from 'node:test';
import { createMetrics, defaultMetricsSource } from '../../../src/node/metrics/metrics.ts';
import type { MetricsSource } from '../../../src/node/metrics/source.ts';
import { heartbeatSchema } from '../../../src/protocol/heartbeat.ts';
import { systemClock } from '../../../src/shared/clock.ts';
import type { Logger } from '../../../src/shared/logger.ts';
import { silentLogger } from '../../../src/shared/logger.ts';
import { FakeClock } from '../../support/fake-clock.ts';

const REST = { runsActive: 0, rttMs: null, faults: [], accepting: true };

function fakeSource(changes: Partial<MetricsSource> = {}): MetricsSource {
  let ticks = 0;
  return {
    readCpuTimes: async () => {
      ticks += 1;
      return { busy: ticks * 30, total: ticks * 100 };
    },
    readMemory: async () => ({ memTotalBytes: 1000, memUsedBytes: 400, swapTotalBytes: null, swapUsedBytes: null }),
    readNetwork: async () => new Map([['eth0', { rxBytes: ticks * 1000, txBytes: ticks * 500 }]]),
    readDisks: async () => [{ mount: '/', fsType: 'ext4', sizeBytes: 10, usedBytes: 5, usedPct: 50 }],
    readTemperatureC: async () => 40,
    readBattery: async () => null,
    ...changes,
  };
}

test('two real samples of this machine are sane and fit the protocol', async (t) => {
  const metrics = createMetrics({ clock: systemClock, logger: silentLogger });
  t.after(() => metrics.close());
  const first = await metrics.sample();
  assert.equal(first.cpuPct, null);
  assert.equal(first.network, null);
  const busyUntil = performance.now() + 250;
  while (performance.now() < busyUntil) await new Promise((resolve) => setImmediate(resolve));
  const sample = await metrics.sample();
  assert.deepEqual(heartbeatSchema.parse({ ...sample, ...REST }), { ...sample, ...REST });

  const { cpuPct, memTotalBytes, memUsedBytes, bootedAt, uptimeS, cores, disks, network, node } = sample;
  // This process kept one core busy.
  assert.ok(cpuPct !== null && cpuPct > 0 && cpuPct <= 100, `cpu ${cpuPct}`);
  assert.ok(memTotalBytes !== null && memUsedBytes !== null && memUsedBytes > 0 && memUsedBytes < memTotalBytes);
  assert.ok(cores !== null && cores >= 1);
  assert.ok(bootedAt !== null && uptimeS !== null && Math.abs(bootedAt + uptimeS * 1000 - sample.at) < 1000);
  assert.ok(disks !== null && disks.length > 0);
  for (const disk of disks) {
    assert.ok(disk.usedBytes <= disk.sizeBytes && disk.usedPct >= 0 && disk.usedPct <= 100);
    assert.ok(!['tmpfs', 'proc', 'squashfs', 'devtmpfs'].includes(disk.fsType));
  }
  assert.ok(network === null || (network.rxBytesPerS !== null && network.rxBytesPerS >= 0));
  assert.ok(node.rssBytes !== null && node.rssBytes > 1_000_000);
  assert.ok(node.eventLoopLagMs !== null && node.eventLoopLagMs >= 0);
});

test('Linux reads files, other systems ask systeminformation', () => {
  const linux = String(defaultMetricsSource('linux').readDisks);
  assert.notEqual(String(defaultMetricsSource('darwin').readDisks), linux);
  assert.equal(String(defaultMetricsSource('win32').readDisks), String(defaultMetricsSource('darwin').readDisks));
});

test('rates follow the monotonic clock, whatever the wall clock does', async (t) => {
  const clock = new FakeClock();
  const metrics = createMetrics({ clock, logger: silentLogger, source: fakeSource() });
  t.after(() => metrics.close());
  await metrics.sample();
  clock.jumpWall(-3_600_000);
  await clock.advance(2000);
  const sample = await metrics.sample();
  assert.equal(sample.cpuPct, 30);
  assert.deepEqual(sample.network, { rxBytesPerS: 500, txBytesPerS: 250, errorsPerS: null, dropsPerS: null });
  assert.equal(sample.at, clock.now());
});

test('one figure that fails is null and leaves the others alone', async (t) => {
  const fail = () => Promise.reject(new Error('refused'));
  const names = ['readCpuTimes', 'readMemory', 'readNetwork', 'readDisks', 'readTemperatureC', 'readBattery'] as const;
  for (const name of names) {
    const clock = new FakeClock();
    const logged: object[] = [];
    const logger: Logger = { ...silentLogger, debug: (facts) => void logged.push(facts) };
    const metrics = createMetrics({ clock, logger, source: fakeSource({ [name]: fail }) });
    t.after(() => metrics.close());
    await metrics.sample();
    await clock.advance(1000);
    const sample = await metrics.sample();
    assert.equal(sample.cpuPct, name === 'readCpuTimes' ? null : 30, name);
    assert.equal(sample.memUsedBytes, name === 'readMemory' ? null : 400, name);
    assert.equal(sample.disks === null, name === 'readDisks', name);
    assert.equal(sample.temperatureC, name === 'readTemperatureC' ? null : 40, name);
    assert.ok(logged.length >= 1, name);
    assert.equal(heartbeatSchema.safeParse({ ...sample, ...REST }).success, true, name);
  }
});

test('a figure that hangs delays the first sample by 250 ms at most, and the later ones not at all', {
  timeout: 10_000,
}, async (t) => {
  const clock = new FakeClock();
  let calls = 0;
  const hang = () => {
    calls += 1;
    return new Promise<never>(() => {});
  };
  const metrics = createMetrics({ clock, logger: silentLogger, source: fakeSource({ readDisks: hang }) });
  t.after(() => metrics.close());
  const first = metrics.sample();
  await clock.advance(250);
  assert.equal((await first).disks, null);
  assert.equal((await first).memUsedBytes, 400);
  await clock.advance(30_000);
  assert.equal((await metrics.sample()).disks, null);
  assert.equal(calls, 1);
});

test('slow figures are asked once a minute, cheap ones each time', async (t) => {
  const clock = new FakeClock();
  const calls = { disks: 0, memory: 0 };
  const source = fakeSource();
  const counted = fakeSource({
    readDisks: () => {
      calls.disks += 1;
      return source.readDisks();
    },
    readMemory: () => {
      calls.memory += 1;
      return source.readMemory();
    },
  });
  const metrics = createMetrics({ clock, logger: silentLogger, source: counted });
  t.after(() => metrics.close());
  for (let beat = 0; beat < 4; beat += 1) {
    assert.equal((await metrics.sample()).disks?.length, 1);
    await clock.advance(2_500);
  }
  assert.deepEqual(calls, { disks: 2, memory: 4 });
});

test('closing twice is allowed, and a sample after it still answers', async () => {
  const metrics = createMetrics({ clock: new FakeClock(), logger: silentLogger, source: fakeSource() });
  await metrics.sample();
  metrics.close();
  metrics.close();
  assert.equal((await metrics.sample()).memUsedBytes, 400);
});
