/** Follows how good a node's tunnel is, heartbeat by heartbeat: latency, jitter, what was lost and how often it broke. Pure. */

const HOUR_MS = 3_600_000;
/** Weight of a new round trip in the mean, and of a new difference in the jitter. RFC 3550, 6.4.1 has 1/16, but for 50 packets a second. */
const NEW_SHARE = 1 / 4;
/** More reconnects in an hour than this are not told apart. */
const MOST_RECONNECTS = 1_000;

export interface LinkState {
  /** Of the last heartbeat, ms on the gateway's clock; null before the first. */
  at: number | null;
  /** Of the last heartbeat that had one, ms. */
  rttMs: number | null;
  /** Running mean of the round trips, ms. */
  meanRttMs: number | null;
  /** Running mean of how much one round trip differs from the one before, ms; null before there are two. */
  jitterMs: number | null;
  /** Times at which sessions after the first began, within the last hour, ms. */
  reconnects: readonly number[];
  /** Heartbeats and keepalives of the last hour that came in time, and that did not; decaying counts. */
  kept: number;
  lost: number;
}

export const NEW_LINK: Readonly<LinkState> = Object.freeze({
  at: null,
  rttMs: null,
  meanRttMs: null,
  jitterMs: null,
  reconnects: [],
  kept: 0,
  lost: 0,
});

export interface LinkBeat {
  /** Round trip as the node measured it, ms; null when it did not. */
  rttMs: number | null;
  /** Keepalives since the heartbeat before that went unanswered for a whole interval; null from a node that does not count. */
  lostKeepalives: number | null;
}

/** The state after a heartbeat that arrived at `now`, ms. */
export function linkAfterHeartbeat(before: LinkState, beat: LinkBeat, now: number): LinkState {
  const gapMs = before.at === null ? 0 : Math.max(0, now - before.at);
  // What happened an hour ago counts a third, so that no list has to be kept.
  const fade = Math.exp(-gapMs / HOUR_MS);
  const state = { ...before, at: now, reconnects: recent(before.reconnects, now) };
  state.kept = before.kept * fade + 1;
  state.lost = before.lost * fade + (beat.lostKeepalives ?? 0);
  if (beat.rttMs === null) return state;
  state.rttMs = beat.rttMs;
  state.meanRttMs = blend(before.meanRttMs, beat.rttMs);
  if (before.rttMs !== null) state.jitterMs = blend(before.jitterMs, Math.abs(beat.rttMs - before.rttMs));
  return state;
}

/** The state after a session began at `now` (ms) that was not the node's first. */
export function linkAfterReconnect(before: LinkState, now: number): LinkState {
  return { ...before, reconnects: [...recent(before.reconnects, now), now].slice(-MOST_RECONNECTS) };
}

/** Reconnects of the last hour. */
export function reconnectsPerHour(state: LinkState, now: number): number {
  return recent(state.reconnects, now).length;
}

/** Share of heartbeats and keepalives that were lost, percent; null before the first heartbeat. */
export function lostPct({ kept, lost }: LinkState): number | null {
  return kept === 0 ? null : (lost / (kept + lost)) * 100;
}

function blend(before: number | null, value: number): number {
  return before === null ? value : before + (value - before) * NEW_SHARE;
}

function recent(times: readonly number[], now: number): number[] {
  return times.filter((at) => at > now - HOUR_MS && at <= now);
}
