/** Turns what the gateway knows of a node into one word and the reasons for it; pure, so that every table and alert agrees. */
import type { Heartbeat } from '../../protocol/heartbeat.ts';
import { memUsedPct } from '../../protocol/heartbeat.ts';
import { DEFAULT_HEARTBEAT_INTERVAL_MS, HEARTBEATS_UNTIL_OFFLINE } from '../../protocol/limits.ts';
import type { NodeStatus } from '../../protocol/node-status.ts';

/** Where `limited` and `offline` begin. */
export interface HealthThresholds {
  /** At or above, percent of all cores. */
  cpuPct: number;
  /** At or above, percent of memory without caches. */
  memUsedPct: number;
  /** At or above on any disk, percent. */
  diskUsedPct: number;
  /** Above, either way, ms. */
  skewMs: number;
  /** At or above, degrees Celsius. */
  temperatureC: number;
  /** At or below while not charging, percent. */
  batteryPct: number;
  /** At or above, ms by which the agent's event loop runs late. */
  eventLoopLagMs: number;
  /** Silence that means offline, ms. */
  offlineAfterMs: number;
}

export const DEFAULT_HEALTH_THRESHOLDS: Readonly<HealthThresholds> = Object.freeze({
  cpuPct: 95,
  memUsedPct: 90,
  diskUsedPct: 90,
  skewMs: 60_000,
  temperatureC: 90,
  batteryPct: 10,
  eventLoopLagMs: 1_000,
  offlineAfterMs: DEFAULT_HEARTBEAT_INTERVAL_MS * HEARTBEATS_UNTIL_OFFLINE,
});

export interface StatusFacts {
  /** How long the live session has been open, ms on the gateway's clock; null without one. */
  sessionAgeMs: number | null;
  /** The last heartbeat ever received; null when there was none. */
  heartbeat: Heartbeat | null;
  /** Since that heartbeat arrived, ms on the gateway's clock; null when there was none. */
  heartbeatAgeMs: number | null;
  /** Node's clock minus gateway's, ms; null when not known. */
  skewMs: number | null;
}

export interface DerivedStatus {
  status: NodeStatus;
  /** Short facts for a person; empty only when `online`. */
  reasons: string[];
}

/**
 * The status of one node. A session younger than the silence limit counts as a sign of life even before its first
 * heartbeat; figures from before the silence limit are not judged.
 */
export function deriveStatus(
  facts: StatusFacts,
  thresholds: Readonly<HealthThresholds> = DEFAULT_HEALTH_THRESHOLDS,
): DerivedStatus {
  const { sessionAgeMs, heartbeat } = facts;
  if (sessionAgeMs === null) return { status: 'offline', reasons: ['no session'] };
  const heartbeatAgeMs = facts.heartbeatAgeMs ?? Number.POSITIVE_INFINITY;
  const silenceMs = Math.min(sessionAgeMs, heartbeatAgeMs);
  if (!(silenceMs < thresholds.offlineAfterMs)) {
    return { status: 'offline', reasons: [`no heartbeat for ${Math.round(silenceMs / 1000)} s`] };
  }
  if (heartbeat === null || !(heartbeatAgeMs < thresholds.offlineAfterMs)) return { status: 'online', reasons: [] };

  const limits = limitReasons(heartbeat, facts.skewMs, thresholds);
  if (heartbeat.faults.length > 0) return { status: 'error', reasons: [...heartbeat.faults, ...limits] };
  return limits.length > 0 ? { status: 'limited', reasons: limits } : { status: 'online', reasons: [] };
}

/** Node's clock minus gateway's, ms, taking half a round trip for the way. */
export function clockSkewMs(heartbeatAt: number, receivedAt: number, rttMs: number | null): number {
  return heartbeatAt + (rttMs ?? 0) / 2 - receivedAt;
}

function limitReasons(heartbeat: Heartbeat, skewMs: number | null, thresholds: Readonly<HealthThresholds>): string[] {
  const reasons: string[] = [];
  const atLeast = (what: string, value: number | null, limit: number, unit: string): void => {
    if (value !== null && value >= limit) reasons.push(`${what} ${short(value)}${unit} (limit ${short(limit)}${unit})`);
  };
  if (!heartbeat.accepting) reasons.push('refuses new runs');
  atLeast('cpu', heartbeat.cpuPct, thresholds.cpuPct, '%');
  atLeast('memory', memUsedPct(heartbeat), thresholds.memUsedPct, '%');
  for (const disk of heartbeat.disks ?? []) {
    atLeast(`disk ${disk.mount}`, disk.usedPct, thresholds.diskUsedPct, '%');
  }
  atLeast('temperature', heartbeat.temperatureC, thresholds.temperatureC, '°C');
  atLeast('agent runs late by', heartbeat.agent.eventLoopLagMs, thresholds.eventLoopLagMs, ' ms');
  const { battery } = heartbeat;
  if (battery !== null && !battery.charging && battery.percent <= thresholds.batteryPct) {
    reasons.push(`battery ${short(battery.percent)}% (limit ${short(thresholds.batteryPct)}%)`);
  }
  if (skewMs !== null && Math.abs(skewMs) > thresholds.skewMs) {
    const direction = skewMs > 0 ? 'ahead' : 'behind';
    reasons.push(`clock ${Math.round(Math.abs(skewMs) / 1000)} s ${direction} (limit ${thresholds.skewMs / 1000} s)`);
  }
  return reasons;
}

/** One decimal at most. Rounded down, so that a value below its limit never reads as the limit. */
function short(value: number): string {
  return String(Math.floor(value * 10) / 10);
}
