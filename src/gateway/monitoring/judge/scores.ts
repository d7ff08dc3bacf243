/**
 * How good a node's link and machine are: two scores from 0 (useless) to 100. Each starts at 100 and loses points for every figure, in
 * proportion to how far the figure is from good to bad; docs/health.md has the table. Pure.
 */
import { z } from 'zod';
import type { Heartbeat } from '../../../protocol/heartbeat.ts';
import { type HealthThresholds, type HeartbeatFacts, LIMITS, limitedFigures, limitOf } from './limits.ts';

const HOUR_MS = 3_600_000;
/** Weight of a new round trip in the mean, and of a new difference in the jitter. RFC 3550, 6.4.1 has 1/16, but for 50 packets a second. */
const NEW_SHARE = 1 / 4;
/** Most reconnects in an hour that are counted. */
const MAX_RECONNECTS = 1_000;

/** Nothing is lost up to `good`, all `points` from `bad` on, and a proportional share in between. */
interface Scale {
  good: number;
  bad: number;
  points: number;
}

const LINK_SCALES = {
  rttMs: { good: 50, bad: 1_000, points: 30 },
  jitterMs: { good: 10, bad: 300, points: 20 },
  lostPct: { good: 0, bad: 20, points: 40 },
  reconnectsPerHour: { good: 0, bad: 10, points: 50 },
} as const satisfies Record<string, Scale>;

/** Share of its limit up to which a machine's figure is good. */
const GOOD_SHARE = 0.7;
const REFUSING_POINTS = 30;
const FAULT_POINTS = 60;

export const linkStateSchema = z.object({
  /** Time of the last heartbeat, ms on the gateway's clock; null before the first. */
  at: z.number().nullable(),
  /** Last round trip, ms. */
  rttMs: z.number().nullable(),
  /** Running mean of the round trips, ms. */
  meanRttMs: z.number().nullable(),
  /** Running mean of the difference between consecutive round trips, ms; null before there are two. */
  jitterMs: z.number().nullable(),
  /** Start times of the sessions of the last hour, except the node's first, ms. */
  reconnects: z.array(z.number()),
  /** Heartbeats and keepalives of the last hour that arrived in time, and that did not; decaying counts. */
  kept: z.number(),
  lost: z.number(),
});
export type LinkState = z.infer<typeof linkStateSchema>;

export const NEW_LINK: Readonly<LinkState> = Object.freeze({
  at: null,
  rttMs: null,
  meanRttMs: null,
  jitterMs: null,
  reconnects: [],
  kept: 0,
  lost: 0,
});

/** The state after a heartbeat that arrived at `now`, ms. */
export function linkAfterHeartbeat(
  before: LinkState,
  { rttMs, tunnel }: Pick<Heartbeat, 'rttMs' | 'tunnel'>,
  now: number,
): LinkState {
  const gapMs = before.at === null ? 0 : Math.max(0, now - before.at);
  // What happened an hour ago counts a third, so no list needs to be kept.
  const fade = Math.exp(-gapMs / HOUR_MS);
  const state = { ...before, at: now, reconnects: recent(before.reconnects, now) };
  state.kept = before.kept * fade + 1;
  state.lost = before.lost * fade + (tunnel?.lostKeepalives ?? 0);
  if (rttMs === null) return state;
  state.rttMs = rttMs;
  state.meanRttMs = blend(before.meanRttMs, rttMs);
  if (before.rttMs !== null) state.jitterMs = blend(before.jitterMs, Math.abs(rttMs - before.rttMs));
  return state;
}

/** The state after a session, other than the node's first, began at `now`, ms. */
export function linkAfterReconnect(before: LinkState, now: number): LinkState {
  return { ...before, reconnects: [...recent(before.reconnects, now), now].slice(-MAX_RECONNECTS) };
}

/** Reconnects in the last hour. */
export function reconnectsPerHour(state: LinkState, now: number): number {
  return recent(state.reconnects, now).length;
}

/** Share of heartbeats and keepalives that were lost, percent; null before the first heartbeat. */
export function lostPct({ kept, lost }: LinkState): number | null {
  return kept === 0 ? null : (lost / (kept + lost)) * 100;
}

/** A whole number; null before the first round trip; 0 without a session. */
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

/** A whole number, from one heartbeat; unknown figures cost nothing, and of several disks the worst counts. */
export function machineScore(facts: HeartbeatFacts, thresholds: Readonly<HealthThresholds>): number {
  const { accepting, faults } = facts.beat;
  const losses = new Map<string, number>();
  for (const [key, , value] of limitedFigures(facts)) {
    const limit = limitOf(key, thresholds);
    const lost = loss(value, { good: limit * GOOD_SHARE, bad: limit, points: LIMITS[key].points });
    losses.set(key, Math.max(lost, losses.get(key) ?? 0));
  }
  return score([...losses.values(), accepting ? 0 : REFUSING_POINTS, faults.length > 0 ? FAULT_POINTS : 0]);
}

function loss(value: number | null, { good, bad, points }: Scale): number {
  if (value === null) return 0;
  if (value >= bad) return points;
  return value <= good ? 0 : ((value - good) / (bad - good)) * points;
}

function score(losses: readonly number[]): number {
  return Math.round(Math.max(0, 100 - losses.reduce((sum, lost) => sum + lost, 0)));
}

function blend(before: number | null, value: number): number {
  return before === null ? value : before + (value - before) * NEW_SHARE;
}

function recent(times: readonly number[], now: number): number[] {
  return times.filter((at) => at > now - HOUR_MS && at <= now);
}
