/** A period cut into equal parts, so that a chart has a few dozen points whether the period is an hour or a month. */
import type { Interval } from './intervals.ts';
import { mergeWithin, totalMs } from './intervals.ts';
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
  const parts = Array.from({ length: SERIES_PARTS }, (_, index) => ({
    from: period.from + index * partMs,
    to: period.from + (index + 1) * partMs,
  }));
  return {
    partMs,
    cpuPct: history.series('cpuPct'),
    memUsedPct: history.series('memUsedPct'),
    diskUsedPct: history.series('diskUsedPct'),
    rttMs: history.series('rttMs'),
    onlinePct: parts.map((part) => onlinePct(part, online, window)),
  };
}

function onlinePct(part: Interval, online: readonly Interval[], window: Interval): number | null {
  const span = { from: Math.max(part.from, window.from), to: Math.min(part.to, window.to) };
  if (!(span.from < span.to)) return null;
  return round(Math.min(100, (totalMs(mergeWithin(online, span)) / (span.to - span.from)) * 100));
}

/** Two decimals: a chart shows no more, and the JSON stays small. */
function round(value: number): number {
  return Math.round(value * 100) / 100;
}
