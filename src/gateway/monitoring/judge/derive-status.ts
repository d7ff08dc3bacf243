/** Turns what the gateway knows of a node into one word and the reasons for it; pure, so that every table and alert agrees. */
import { DEFAULT_HEARTBEAT_INTERVAL_MS, HEARTBEATS_UNTIL_OFFLINE } from '../../../domain/limits.ts';
import type { NodeStatus } from '../../../domain/states.ts';
import type { HealthState } from './judge-heartbeat.ts';

/** Where `limited` and `offline` begin; limit-readings.ts says where each limit is left again. One that is off is infinite. */
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
  /** So long a restless figure must stay over its limit, or any figure clear of it, before the status follows, ms. */
  settleMs: number;
}

/** A third beat in a row is certain to be later than this, and a second one never is. */
export const SETTLE_HEARTBEATS = 1.5;

export const DEFAULT_HEALTH_THRESHOLDS: Readonly<HealthThresholds> = Object.freeze({
  cpuPct: 95,
  memUsedPct: 90,
  diskUsedPct: 90,
  skewMs: 60_000,
  temperatureC: 90,
  batteryPct: 10,
  eventLoopLagMs: 1_000,
  offlineAfterMs: DEFAULT_HEARTBEAT_INTERVAL_MS * HEARTBEATS_UNTIL_OFFLINE,
  settleMs: DEFAULT_HEARTBEAT_INTERVAL_MS * SETTLE_HEARTBEATS,
});

export interface StatusFacts {
  /** How long the live session has been open, ms on the gateway's clock; null without one. */
  sessionAgeMs: number | null;
  /** Since the last heartbeat arrived, ms on the gateway's clock; null when there was none. */
  heartbeatAgeMs: number | null;
  /** What {@link judgeHeartbeat} made of that heartbeat and those before; null when there was none. */
  state: HealthState | null;
}

export interface DerivedStatus {
  status: NodeStatus;
  /** Short facts for a person; of an `online` node only what keeps it busy. */
  reasons: string[];
}

/**
 * The status of one node. A session younger than the silence limit counts as a sign of life even before its first
 * heartbeat; figures from before the silence limit are not judged. Being offline is a fact, and told at once.
 */
export function deriveStatus(
  { sessionAgeMs, heartbeatAgeMs, state }: StatusFacts,
  thresholds: Readonly<Pick<HealthThresholds, 'offlineAfterMs'>> = DEFAULT_HEALTH_THRESHOLDS,
): DerivedStatus {
  if (sessionAgeMs === null) return { status: 'offline', reasons: ['no session'] };
  const beatAgeMs = heartbeatAgeMs ?? Number.POSITIVE_INFINITY;
  const silenceMs = Math.min(sessionAgeMs, beatAgeMs);
  if (!(silenceMs < thresholds.offlineAfterMs)) {
    return { status: 'offline', reasons: [`no heartbeat for ${Math.round(silenceMs / 1000)} s`] };
  }
  if (state === null || !(beatAgeMs < thresholds.offlineAfterMs)) return { status: 'online', reasons: [] };
  return statusOfState(state);
}

/** The status of a node that is there: `error` if anything is a fault, `limited` if any limit is crossed. */
export function statusOfState({ conditions }: HealthState): DerivedStatus {
  const active = conditions.filter(({ isActive }) => isActive);
  const faults = active.filter(({ severity }) => severity === 'error');
  const limits = active.filter(({ severity }) => severity === 'limited');
  const status = faults.length > 0 ? 'error' : limits.length > 0 ? 'limited' : 'online';
  const busy = active.filter(({ severity }) => severity === 'busy');
  return { status, reasons: [...faults, ...limits, ...busy].flatMap(({ words }) => words) };
}

/** Node's clock minus gateway's, ms, taking half a round trip for the way. */
export function clockSkewMs(heartbeatAt: number, receivedAt: number, rttMs: number | null): number {
  return heartbeatAt + (rttMs ?? 0) / 2 - receivedAt;
}
