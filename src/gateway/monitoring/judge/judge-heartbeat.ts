/**
 * Decides which limits a node counts as being over, heartbeat by heartbeat, so that a figure which hovers at its limit does
 * not make the status flap: a restless figure must stay over for a while before it counts, and every figure must stay clear,
 * some way back from the limit, for a while before it does not. Pure: the state before and a heartbeat give the state after.
 */
import type { Heartbeat } from '../../../protocol/heartbeat.ts';
import type { HealthThresholds } from './derive-status.ts';
import { type LimitReading, readLimits, type Severity } from './limit-readings.ts';

/** A limit that is crossed, or about to be. */
export interface Condition {
  key: string;
  severity: Severity;
  /** For a person, as of the last heartbeat. */
  words: string[];
  /** Whether the status shows it. */
  isActive: boolean;
  /** Since when it is active, or over the limit without being active yet; ms on the gateway's clock. */
  since: number;
  /** An active one only: since when its figure is clear of the limit, ms; null while it is not. */
  clearSince: number | null;
}

/** What is remembered of a node between two heartbeats. */
export interface HealthState {
  /** Of the heartbeat, ms on the gateway's clock. */
  at: number;
  conditions: readonly Condition[];
}

export interface HeartbeatFacts {
  beat: Heartbeat;
  /** Node's clock minus gateway's, ms; null when not known. */
  skewMs: number | null;
}

/** The state after a heartbeat that arrived at `now` (ms). What was before a silence that means offline no longer counts. */
export function judgeHeartbeat(
  previous: HealthState | null,
  { beat, skewMs }: HeartbeatFacts,
  thresholds: Readonly<HealthThresholds>,
  now: number,
): HealthState {
  const isFresh = previous !== null && now - previous.at < thresholds.offlineAfterMs;
  const before = new Map((isFresh ? previous.conditions : []).map((condition) => [condition.key, condition]));
  const readings = new Map(readLimits(beat, skewMs, thresholds).map((reading) => [reading.key, reading]));
  const keys = new Set([...readings.keys(), ...before.keys()]);
  const conditions = [...keys]
    .map((key) => nextCondition(before.get(key), readings.get(key), thresholds.settleMs, now))
    .filter((condition) => condition !== null);
  return { at: now, conditions };
}

function nextCondition(
  before: Condition | undefined,
  reading: LimitReading | undefined,
  settleMs: number,
  now: number,
): Condition | null {
  if (before?.isActive) {
    // A figure that is not there any more (a disk unmounted, a fault gone) is clear.
    const isClear = reading?.isClear ?? true;
    const clearSince = isClear ? Math.min(before.clearSince ?? now, now) : null;
    if (clearSince !== null && now - clearSince >= settleMs) return null;
    const { limitedAfterMs = Number.POSITIVE_INFINITY } = reading ?? {};
    // The clock may have been set back meanwhile.
    const since = Math.min(before.since, now);
    const hasLasted = now - since >= limitedAfterMs;
    const severity = hasLasted ? 'limited' : (reading?.severity ?? before.severity);
    return { ...before, since, severity, words: reading?.words ?? before.words, clearSince };
  }
  if (reading === undefined || !reading.isOver) return null;
  // The clock may have been set back meanwhile.
  const overSince = Math.min(before?.since ?? now, now);
  const isActive = !reading.isRestless || now - overSince >= settleMs;
  const { key, severity, words } = reading;
  return { key, severity, words, isActive, since: isActive ? now : overSince, clearSince: null };
}
