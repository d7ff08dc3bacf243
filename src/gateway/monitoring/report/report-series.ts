/** A period cut into equal parts, so that a chart has a few dozen points whether the period is an hour or a month. */
import { coveredMs, gapsWithin, type Interval, mergeWithin, totalMs } from '../intervals.ts';
import type { ReportHistory, ReportSeries } from './report-types.ts';

/** Parts of one period: half an hour each in a report of one day. */
export const SERIES_PARTS = 48;

export interface SeriesInput {
  history: ReportHistory;
  /** Merged times with a session. */
  online: readonly Interval[];
  /** Merged times in which nobody knows. */
  unknown: readonly Interval[];
  /** The node's part of the period. */
  window: Interval;
  period: Interval;
}

export function buildSeries({ history, online, unknown, window, period }: SeriesInput): ReportSeries {
  const partMs = (period.to - period.from) / SERIES_PARTS;
  const onlineShares: (number | null)[] = [];
  for (let part = 0; part < SERIES_PARTS; part += 1) {
    const from = Math.max(period.from + part * partMs, window.from);
    const to = Math.min(period.from + (part + 1) * partMs, window.to);
    onlineShares.push(from < to ? onlinePct(online, unknown, { from, to }) : null);
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

function onlinePct(online: readonly Interval[], unknown: readonly Interval[], part: Interval): number | null {
  const knownMs = totalMs([part]) - coveredMs(unknown, part);
  if (!(knownMs > 0)) return null;
  const offlineMs = totalMs(gapsWithin(mergeWithin([...online, ...unknown], part), part));
  return round(Math.max(0, 100 - (offlineMs / knownMs) * 100));
}

/** Two decimals: a chart shows no more, and the JSON stays small. */
function round(value: number): number {
  return Math.round(value * 100) / 100;
}
