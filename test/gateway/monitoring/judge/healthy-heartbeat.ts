/** A heartbeat of a node that has nothing to complain about; tests change what they are about. */
import type { Heartbeat } from '../../../../src/protocol/heartbeat.ts';

export const HEALTHY: Heartbeat = {
  at: 0,
  bootedAt: null,
  uptimeS: null,
  cpuPct: 10,
  load1: null,
  load5: null,
  load15: null,
  cores: 2,
  memTotalBytes: 1000,
  memUsedBytes: 500,
  swapTotalBytes: null,
  swapUsedBytes: null,
  disks: [disk('/', 50)],
  network: null,
  temperatureC: null,
  battery: null,
  node: { version: '0.1.0', rssBytes: null, eventLoopLagMs: 1, uptimeS: null },
  runsActive: 0,
  rttMs: null,
  faults: [],
  accepting: true,
};

export function disk(mount: string, usedPct: number) {
  return { mount, fsType: 'ext4', sizeBytes: 100, usedBytes: usedPct, usedPct };
}
