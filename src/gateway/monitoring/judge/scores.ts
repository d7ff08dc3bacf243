/**
 * Two scores from 0 (useless) to 100 (as good as it gets), one for a node's link and one for its machine. Each begins at 100
 * and loses points for each figure, in proportion to how far the figure is from good to bad; docs/health.md has the table.
 */
import type { Heartbeat } from '../../../protocol/heartbeat.ts';
import { fullestDiskPct, memUsedPct, mostInodesPct } from '../../../protocol/heartbeat.ts';
import type { HealthThresholds } from './derive-status.ts';
import { type LinkState, lostPct, reconnectsPerHour } from './link-quality.ts';

/** Up to `good` nothing is lost, from `bad` on all of `points`, in between in proportion. */
interface Scale {
  good: number;
  bad: number;
  points: number;
}

export const LINK_SCALES = {
  rttMs: { good: 50, bad: 1_000, points: 30 },
  jitterMs: { good: 10, bad: 300, points: 20 },
  lostPct: { good: 0, bad: 20, points: 40 },
  reconnectsPerHour: { good: 0, bad: 10, points: 50 },
} as const satisfies Record<string, Scale>;

/** A machine's figures are good up to this share of their limits. */
export const GOOD_SHARE = 0.7;
/** Points that a machine loses for a figure that is at its limit. */
export const MACHINE_POINTS = {
  cpuPct: 25,
  memUsedPct: 25,
  diskUsedPct: 35,
  temperatureC: 15,
  eventLoopLagMs: 20,
  skewMs: 10,
  batteryPct: 15,
} as const;
/** Points for refusing work, and for any fault. */
export const REFUSING_POINTS = 30;
export const FAULT_POINTS = 60;

/** A whole number; null before the first round trip. A node without a session has 0. */
export function linkScore(link: LinkState, isConnected: boolean, now: number): number | null {
  if (!isConnected) return 0;
  if (link.meanRttMs === null) return null;
  return score([
    loss(link.meanRttMs, LINK_SCALES.rttMs),
    loss(link.jitterMs, LINK_SCALES.jitterMs),
    loss(lostPct(link), LINK_SCALES.lostPct),
    loss(reconnectsPerHour(link, now), LINK_SCALES.reconnectsPerHour),
  ]);
}

/** A whole number, from the figures of one heartbeat; a figure that is not known costs nothing. */
export function machineScore(beat: Heartbeat, skewMs: number | null, limits: Readonly<HealthThresholds>): number {
  const ofLimit = (value: number | null, key: Exclude<keyof typeof MACHINE_POINTS, 'batteryPct'>): number =>
    loss(value, { good: limits[key] * GOOD_SHARE, bad: limits[key], points: MACHINE_POINTS[key] });
  const isOff = !Number.isFinite(limits.batteryPct);
  const emptyPct = isOff || beat.battery === null || beat.battery.charging ? null : 100 - beat.battery.percent;
  const emptyLimitPct = 100 - limits.batteryPct;
  return score([
    ofLimit(beat.cpuPct, 'cpuPct'),
    ofLimit(memUsedPct(beat), 'memUsedPct'),
    ofLimit(Math.max(fullestDiskPct(beat) ?? 0, mostInodesPct(beat) ?? 0), 'diskUsedPct'),
    ofLimit(beat.temperatureC, 'temperatureC'),
    ofLimit(beat.agent.eventLoopLagMs, 'eventLoopLagMs'),
    ofLimit(skewMs === null ? null : Math.abs(skewMs), 'skewMs'),
    loss(emptyPct, { good: emptyLimitPct * GOOD_SHARE, bad: emptyLimitPct, points: MACHINE_POINTS.batteryPct }),
    beat.accepting ? 0 : REFUSING_POINTS,
    beat.faults.length > 0 ? FAULT_POINTS : 0,
  ]);
}

function loss(value: number | null, { good, bad, points }: Scale): number {
  if (value === null) return 0;
  if (value >= bad) return points;
  return value <= good ? 0 : ((value - good) / (bad - good)) * points;
}

function score(losses: readonly number[]): number {
  return Math.round(Math.max(0, 100 - losses.reduce((sum, lost) => sum + lost, 0)));
}
