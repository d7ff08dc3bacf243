import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { NodeStatus } from '../../../src/domain/states.ts';
import { healthView } from '../../../src/gateway/api/views.ts';
import type { HealthMonitor } from '../../../src/gateway/monitoring/judge/monitor.ts';
import type { NodeRecord } from '../../../src/gateway/nodes/nodes-table.ts';

const BEAT = {
  ...{ cpuPct: 71, load1: 3, memTotalBytes: 100, memUsedBytes: 40, rttMs: 12, runsActive: 2, uptimeS: 9 },
  disks: [{ mount: '/', totalBytes: 100, usedBytes: 50 }],
};

function viewOf(status: NodeStatus) {
  const link = { score: 1, meanRttMs: 1, jitterMs: 1, lostPct: 0, reconnectsPerHour: 0 };
  const health = { status, reasons: [], latest: { at: 1, skewMs: 0, beat: BEAT }, link, machineScore: 50 };
  const monitor = { healthOf: () => health } as unknown as HealthMonitor;
  return healthView([{ id: 'n', name: 'n', lastSeenAt: 1 } as NodeRecord], monitor).nodes[0];
}

test('what changes from moment to moment is not shown of a node that is offline', () => {
  const online = viewOf('online');
  assert.deepEqual(
    [online?.cpuPct, online?.load1, online?.memUsedPct, online?.rttMs, online?.runsActive],
    [71, 3, 40, 12, 2],
  );
  const offline = viewOf('offline');
  assert.deepEqual(
    [offline?.cpuPct, offline?.load1, offline?.memUsedPct, offline?.rttMs, offline?.runsActive],
    [null, null, null, null, null],
  );
});
