/** A period cut into equal parts, so that a chart has a few dozen points whether the period is an hour or a month. */
import type { Interval } from './intervals.ts';
import type { ReportHistory, ReportSeries } from './report-types.ts';

/** Parts of one period: half an hour each in a report of one day. */
export const SERIES_PARTS = 48;

export interface SeriesInput {
  history: ReportHistory;
  /** Merged times with a session. */
  online: readonly Interval[];
  /** The node's part of the period. */
  window: Interval;
  period: Interval;
}

export function buildSeries({ history, online, window, period }: SeriesInput): ReportSeries {
  const partMs = (period.to - period.from) / SERIES_PARTS;
  const onlineShares: (number | null)[] = [];
  for (let part = 0; part < SERIES_PARTS; part += 1) {
    const from = Math.max(period.from + part * partMs, window.from);
    const to = Math.min(period.from + (part + 1) * partMs, window.to);
    onlineShares.push(onlinePct(online, from, to));
  }
  return {
    partMs,
    cpuPct: history.series('cpuPct'),
    memUsedPct: history.series('memUsedPct'),
    diskUsedPct: history.series('diskUsedPct'),
    rttMs: history.series('rttMs'),
    onlinePct: onlineShares,
  };
}

function onlinePct(online: readonly Interval[], from: number, to: number): number | null {
  if (!(from < to)) return null;
  let onlineMs = 0;
  for (const session of online) onlineMs += Math.max(0, Math.min(session.to, to) - Math.max(session.from, from));
  return round(Math.min(100, (onlineMs / (to - from)) * 100));
}

/** Two decimals: a chart shows no more, and the JSON stays small. */
function round(value: number): number {
  return Math.round(value * 100) / 100;
}
