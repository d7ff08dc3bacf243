import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import type { Heartbeat } from '../../src/protocol/heartbeat.ts';
import {
  boundFaults,
  fullestDiskPct,
  heartbeatSchema,
  MAX_HEARTBEAT_DISKS,
  memUsedPct,
} from '../../src/protocol/heartbeat.ts';

const DISK = { mount: '/', fsType: 'ext4', sizeBytes: 1000, usedBytes: 500, usedPct: 50 };

const HEARTBEAT: Heartbeat = {
  at: 1_767_225_600_000,
  bootedAt: 1_767_139_200_000,
  uptimeS: 86_400,
  cpuPct: 12.5,
  load1: 0.5,
  load5: 0.4,
  load15: 0.3,
  cores: 4,
  memTotalBytes: 8_000,
  memUsedBytes: 2_000,
  swapTotalBytes: 0,
  swapUsedBytes: 0,
  disks: [DISK],
  network: { rxBytesPerS: 10, txBytesPerS: 20 },
  temperatureC: -3,
  battery: { percent: 80, charging: false },
  node: { version: '0.1.0', rssBytes: 50_000_000, eventLoopLagMs: 0.2, uptimeS: 60 },
  runsActive: 0,
  rttMs: 12,
  faults: [],
  accepting: true,
};

test('a full heartbeat comes through JSON unchanged', () => {
  assert.deepEqual(heartbeatSchema.parse(JSON.parse(JSON.stringify(HEARTBEAT))), HEARTBEAT);
});

test('keys of a newer node are dropped, at the top and inside', () => {
  const newer = { ...HEARTBEAT, gpuPct: 3, node: { ...HEARTBEAT.node, pid: 7 }, disks: [{ ...DISK, inodesPct: 4 }] };
  assert.deepEqual(heartbeatSchema.parse(newer), HEARTBEAT);
});

test('the heartbeat of an earlier node, which calls its own process an agent, is read alike', () => {
  const { node: agent, ...rest } = HEARTBEAT;
  assert.deepEqual(heartbeatSchema.parse({ ...rest, agent }), HEARTBEAT);
});

test('figures that are missing are null, not 0', () => {
  const { at, node, runsActive, faults, accepting } = HEARTBEAT;
  const parsed = heartbeatSchema.parse({ at, node: { version: node.version }, runsActive, faults, accepting });
  const { at: _at, node: parsedNode, runsActive: _runs, faults: _faults, accepting: _accepting, ...figures } = parsed;
  assert.deepEqual([...new Set(Object.values(figures))], [null]);
  assert.deepEqual(parsedNode, { version: node.version, rssBytes: null, eventLoopLagMs: null, uptimeS: null });
});

test('a figure that makes no sense is null and does not cost the heartbeat', () => {
  for (const cpuPct of [-1, 100.1, Number.NaN, Number.POSITIVE_INFINITY, '5', {}]) {
    assert.equal(heartbeatSchema.parse({ ...HEARTBEAT, cpuPct }).cpuPct, null, String(cpuPct));
  }
  assert.equal(heartbeatSchema.parse({ ...HEARTBEAT, disks: [{ ...DISK, usedPct: 101 }] }).disks, null);
});

test('more disks than the limit, or a mount point without end, are not taken', () => {
  const disks = Array.from({ length: MAX_HEARTBEAT_DISKS + 1 }, () => DISK);
  assert.equal(heartbeatSchema.parse({ ...HEARTBEAT, disks }).disks, null);
  assert.equal(heartbeatSchema.parse({ ...HEARTBEAT, disks: disks.slice(1) }).disks?.length, MAX_HEARTBEAT_DISKS);
  const long = { ...DISK, mount: '/'.repeat(300) };
  assert.equal(heartbeatSchema.parse({ ...HEARTBEAT, disks: [long] }).disks, null);
});

test('what decides about status and work must be right', () => {
  for (const wrong of [
    { accepting: 'yes' },
    { faults: null },
    { faults: ['x'.repeat(201)] },
    { faults: Array.from({ length: 17 }, () => 'x') },
    { runsActive: -1 },
    { runsActive: 1.5 },
    { at: 'now' },
    { node: {} },
  ]) {
    assert.equal(heartbeatSchema.safeParse({ ...HEARTBEAT, ...wrong }).success, false, JSON.stringify(wrong));
  }
});

test('any faults, once bounded, make a heartbeat that is taken', () => {
  fc.assert(
    fc.property(fc.array(fc.string({ maxLength: 400, unit: 'binary' }), { maxLength: 40 }), (faults) => {
      const bounded = boundFaults(faults);
      assert.deepEqual(heartbeatSchema.parse({ ...HEARTBEAT, faults: bounded }).faults, bounded);
      assert.equal(
        bounded.length > 0,
        faults.some((fault) => fault !== ''),
      );
    }),
  );
});

test('shares are null when what they are of is not known', () => {
  assert.equal(memUsedPct(HEARTBEAT), 25);
  assert.equal(memUsedPct({ memTotalBytes: null, memUsedBytes: 5 }), null);
  assert.equal(memUsedPct({ memTotalBytes: 0, memUsedBytes: 0 }), null);
  assert.equal(fullestDiskPct({ disks: [DISK, { ...DISK, usedPct: 70 }] }), 70);
  assert.equal(fullestDiskPct({ disks: [] }), null);
  assert.equal(fullestDiskPct({ disks: null }), null);
});
