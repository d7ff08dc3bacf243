/** What rules look at: everything that the gateway knows about one node now, in one plain object. */

import type { NodeStatus } from '../../../domain/node-status.ts';
import { fullestDiskPct, type Heartbeat, memUsedPct, mostInodesPct } from '../../../protocol/heartbeat.ts';
import type { NodeHealth } from '../judge/monitor.ts';
import type { AlertMetric } from './alert-rule.ts';

export interface DiskFull {
  mount: string;
  /** ms. */
  fullAt: number;
}

export interface NodeFacts {
  status: NodeStatus;
  reasons: readonly string[];
  /** Null for what is not known, all of them for a node that is offline. */
  figures: Readonly<Record<AlertMetric, number | null>>;
  /** Node's clock minus gateway's, ms; null when not known. */
  skewMs: number | null;
  /** The disk that will be full first; null when none will be, as far as anybody can say. */
  diskFull: DiskFull | null;
  reconnectsPerHour: number;
  /** Whether two machines seem to use its key. */
  hasClone: boolean;
  /** Whether its token was refused, and nothing that it said was accepted since. */
  hasTokenProblem: boolean;
}

export type Signals = Pick<NodeFacts, 'diskFull' | 'hasClone' | 'hasTokenProblem'>;

export function nodeFacts(health: NodeHealth, signals: Signals): NodeFacts {
  const { status, reasons, latest, link } = health;
  const beat = status === 'offline' ? undefined : latest?.beat;
  return {
    ...signals,
    status,
    reasons,
    figures: figuresOf(beat, link.lostPct),
    skewMs: beat === undefined ? null : (latest?.skewMs ?? null),
    reconnectsPerHour: link.reconnectsPerHour,
  };
}

function figuresOf(beat: Heartbeat | undefined, lostPct: number | null): NodeFacts['figures'] {
  const { load1 = null, cores = null, battery = null } = beat ?? {};
  return {
    cpuPct: beat?.cpuPct ?? null,
    load1,
    loadPerCore: load1 === null || cores === null ? null : load1 / cores,
    memUsedPct: beat === undefined ? null : memUsedPct(beat),
    swapUsedPct: beat === undefined ? null : sharePct(beat.swapUsedBytes, beat.swapTotalBytes),
    diskUsedPct: beat === undefined ? null : fullestDiskPct(beat),
    inodesUsedPct: beat === undefined ? null : mostInodesPct(beat),
    rttMs: beat?.rttMs ?? null,
    lostPct: beat === undefined ? null : lostPct,
    temperatureC: beat?.temperatureC ?? null,
    // On the mains a low battery is no news.
    batteryPct: battery === null ? null : battery.charging ? 100 : battery.percent,
    agentLagMs: beat?.agent.eventLoopLagMs ?? null,
    runsActive: beat?.runsActive ?? null,
  };
}

function sharePct(used: number | null, total: number | null): number | null {
  return used === null || !total ? null : (used / total) * 100;
}
