/**
 * Derives a node's status from its session and its heartbeats. A figure that hovers at its limit must not make the status flap, so a restless one
 * must stay over for a while before it counts, and every figure must stay clear, some way back from the limit, before it stops counting. Pure.
 */
import { z } from 'zod';
import type { NodeStatus } from '../../../domain/states.ts';
import {
  DEFAULT_HEALTH_THRESHOLDS,
  formatFigure,
  type HealthThresholds,
  type HeartbeatFacts,
  LIMITS,
  type LimitedFigure,
  limitedFigures,
  limitOf,
} from './limits.ts';

/** A CPU at its limit is doing its work (`busy`). Only when that lasts does it hinder other work and count as `limited`, ms. */
const BUSY_MS = 15 * 60_000;

/** A limit that is exceeded, or may soon be. */
const conditionSchema = z.object({
  key: z.string(),
  /** `busy` is mentioned, but leaves the status at `online`. */
  severity: z.enum(['busy', 'limited', 'error']),
  /** As of the last heartbeat. */
  words: z.array(z.string()),
  /** Whether the status shows it. */
  isActive: z.boolean(),
  /** Since when it is active, or over the limit without being active yet; ms on the gateway's clock. */
  since: z.number(),
  /** If active: since when its figure is clear of the limit, ms. */
  clearSince: z.number().nullable(),
});
type Condition = z.infer<typeof conditionSchema>;

/** What is remembered of a node between two heartbeats. */
export const healthStateSchema = z.object({
  /** Time of the heartbeat, ms on the gateway's clock. */
  at: z.number(),
  conditions: z.array(conditionSchema),
});
export type HealthState = z.infer<typeof healthStateSchema>;

interface DerivedStatus {
  status: NodeStatus;
  /** For people; those of an `online` node say only what keeps it busy. */
  reasons: string[];
}

/**
 * A session younger than `offlineAfterMs` counts as a sign of life even before its first heartbeat; older figures don't count.
 * @param ages Of the live session and of the last heartbeat, ms; null without one.
 */
export function deriveStatus(
  { sessionAgeMs, heartbeatAgeMs }: { sessionAgeMs: number | null; heartbeatAgeMs: number | null },
  state: HealthState | null,
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

/** The status of a connected node: `error` if there is any fault, `limited` if any limit is exceeded. */
export function statusOfState({ conditions }: HealthState): DerivedStatus {
  const active = conditions.filter(({ isActive }) => isActive);
  const faults = active.filter(({ severity }) => severity === 'error');
  const limits = active.filter(({ severity }) => severity === 'limited');
  const status = faults.length > 0 ? 'error' : limits.length > 0 ? 'limited' : 'online';
  const busy = active.filter(({ severity }) => severity === 'busy');
  return { status, reasons: [...faults, ...limits, ...busy].flatMap(({ words }) => words) };
}

/** Node's clock minus gateway's, ms, allowing half a round trip for the heartbeat's journey. */
export function clockSkewMs(heartbeatAt: number, receivedAt: number, rttMs: number | null): number {
  return heartbeatAt + (rttMs ?? 0) / 2 - receivedAt;
}

/** A figure or fact of one heartbeat, compared with its limit. */
interface Reading extends Pick<Condition, 'key' | 'severity' | 'words'> {
  isOver: boolean;
  isClear: boolean;
  isRestless: boolean;
}

/** The state after a heartbeat that arrived at `now`, ms. A silence long enough to count as offline resets it. */
export function judgeHeartbeat(
  previous: HealthState | null,
  facts: HeartbeatFacts,
  thresholds: Readonly<HealthThresholds>,
  now: number,
): HealthState {
  const isFresh = previous !== null && now - previous.at < thresholds.offlineAfterMs;
  const before = new Map((isFresh ? previous.conditions : []).map((condition) => [condition.key, condition]));
  const readings = new Map(readLimits(facts, thresholds).map((reading) => [reading.key, reading]));
  const keys = new Set([...readings.keys(), ...before.keys()]);
  const conditions = [...keys]
    .map((key) => nextCondition(before.get(key), readings.get(key), thresholds.settleMs, now))
    .filter((condition) => condition !== null);
  return { at: now, conditions };
}

function nextCondition(
  before: Condition | undefined,
  reading: Reading | undefined,
  settleMs: number,
  now: number,
): Condition | null {
  // The clock may have been set back.
  const since = Math.min(before?.since ?? now, now);
  if (before?.isActive) {
    // A missing figure (a disk was unmounted, a fault is gone) is clear.
    const isClear = reading?.isClear ?? true;
    const clearSince = isClear ? Math.min(before.clearSince ?? now, now) : null;
    if (clearSince !== null && now - clearSince >= settleMs) return null;
    const severity = reading?.severity ?? before.severity;
    const hasLasted = reading?.severity === 'busy' && now - since >= BUSY_MS;
    const words = reading?.words ?? before.words;
    return { ...before, since, severity: hasLasted ? 'limited' : severity, words, clearSince };
  }
  if (reading === undefined || !reading.isOver) return null;
  const isActive = !reading.isRestless || now - since >= settleMs;
  const { key, severity, words } = reading;
  return { key, severity, words, isActive, since: isActive ? now : since, clearSince: null };
}

/** A reading of every known figure; of faults and refusal only if present. */
function readLimits(facts: HeartbeatFacts, thresholds: Readonly<HealthThresholds>): Reading[] {
  const { faults, accepting, disks } = facts.beat;
  const readOnly = (disks ?? []).filter(({ access }) => access === 'ro-fault');
  return [
    ...(faults.length === 0 ? [] : [factOf('faults', 'error', faults)]),
    ...(accepting ? [] : [factOf('accepting', 'limited', ['refuses new runs'])]),
    ...readOnly.map(({ mount }) => factOf(`read-only ${mount}`, 'error', [`${mount} has become read-only`])),
    ...limitedFigures(facts)
      .map((figure) => readFigure(figure, thresholds))
      .filter((reading) => reading !== null),
  ];
}

function readFigure(
  [limitKey, key, value, suffix = '']: LimitedFigure,
  thresholds: Readonly<HealthThresholds>,
): Reading | null {
  if (value === null) return null;
  const { clearance, isRestless } = LIMITS[limitKey];
  const limit = limitOf(limitKey, thresholds);
  const clear = clearance < 1 ? limit * (1 - clearance) : limit - clearance;
  const isExclusive = limitKey === 'skewMs';
  const isOver = isExclusive ? value > limit : value >= limit;
  const isClear = isExclusive ? value <= clear : value < clear;
  const [shown, shownLimit, shownClear] = [value, limit, clear].map((it) => formatFigure(limitKey, it));
  const untilClear = isOver ? '' : `, clear ${limitKey === 'batteryPct' ? 'above' : 'below'} ${shownClear}`;
  const words = `${key} ${shown}${suffix} (limit ${shownLimit}${untilClear})`;
  if (limitKey !== 'cpuPct') return { key, severity: 'limited', words: [words], isOver, isClear, isRestless };
  return { key, severity: 'busy', words: [`busy: ${words}`], isOver, isClear, isRestless };
}

function factOf(key: string, severity: Condition['severity'], words: readonly string[]): Reading {
  return { key, severity, words: [...words], isOver: true, isClear: false, isRestless: false };
}
