/** Nodes as the gateway tells of them, for the tests of `fleet top`. */
import type { HealthNodeView } from '../../../src/protocol/views.ts';

export function nodeView(name: string, changes: Partial<HealthNodeView> = {}): HealthNodeView {
  return {
    name,
    status: 'online',
    reasons: [],
    cpuPct: 10,
    load1: 0.5,
    memUsedPct: 20,
    diskUsedPct: 30,
    rttMs: 4.2,
    skewMs: 1,
    uptimeS: 7_200,
    lastSeenAt: '2026-01-01T00:00:00.000Z',
    runsActive: 0,
    linkScore: 100,
    machineScore: 90,
    jitterMs: 0.3,
    lostPct: 0,
    reconnectsPerHour: 0,
    ...changes,
  };
}
