/** Builds the health report: how each node did over a period, worst first. Pure. */
import {
  isTerminal,
  NODE_STATUSES,
  type NodeStatus,
  type RunState,
  worstFirst,
  worstStatus,
} from '../../../domain/states.ts';
import type { HealthDayView } from '../../../protocol/views.ts';
import { isoTime } from '../../../shared/duration.ts';
import type { ShownFigure } from '../history/figures.ts';
import { coveredMs, gapsWithin, type Interval, mergeWithin, totalMs, unknownTimes } from '../intervals.ts';
import type { Downtime } from '../judge/judge-store.ts';
import { statisticsOf } from '../statistics.ts';
import { type ReportAlerts, type ReportLimits, type ReportRow, type RunTotals, SERIES_PARTS } from './model.ts';

/** Nodes named as the worst. */
const MOST_WORST = 5;

/** One node, for the whole period. Times are ISO 8601. `--format json` prints it as it is. */
export type NodeReport = ReturnType<typeof buildNode>;
/** `--format json` prints it as it is. */
export type HealthReport = ReturnType<typeof assembleReport>;
/** A time at which a node was not online, after its first session, and clipped to the period. */
type Incident = HealthDayView['incidents'][number];

export const NO_RUNS: Readonly<RunTotals> = { total: 0, active: 0, succeeded: 0, failed: 0, canceled: 0 };

/** Counts `count` runs that ended alike, or have not ended. */
export function addRuns(totals: RunTotals, state: RunState, exitCode: number | null, count: number): void {
  totals.total += count;
  if (!isTerminal(state)) totals.active += count;
  else if (state === 'canceled') totals.canceled += count;
  else if (state === 'exited' && exitCode === 0) totals.succeeded += count;
  else totals.failed += count;
}

/** Not online now, or not all the time, or about to run out of disk. */
export function needsAttention(node: NodeReport): boolean {
  return node.status !== 'online' || node.incidents.length > 0 || node.forecasts.length > 0;
}

/** @throws RangeError if the period is empty. */
export function assembleReport(
  { from, to }: Interval,
  unsorted: readonly NodeReport[],
  { limits, alerts, downtimes }: { limits: ReportLimits; alerts: ReportAlerts; downtimes: readonly Interval[] },
) {
  if (!(from < to)) throw new RangeError('the period of a report must end after it starts');
  const nodes = [...unsorted].sort(compareNodes);
  const sum = (of: (node: NodeReport) => number): number => nodes.reduce((total, node) => total + of(node), 0);
  const counts = NODE_STATUSES.map((status) => [status, nodes.filter((node) => node.status === status).length]);
  const runs = Object.keys(NO_RUNS).map((key) => [key, sum((node) => node.runs[key as keyof RunTotals])]);
  return {
    period: { from: isoTime(from), to: isoTime(to), durationMs: to - from },
    /** Null if there is no node. */
    status: worstStatus(nodes.map((node) => node.status)),
    /** Null for a limit that is off. */
    limits: {
      cpuPct: finiteOrNull(limits.cpuPct),
      memUsedPct: finiteOrNull(limits.memUsedPct),
      diskUsedPct: finiteOrNull(limits.diskUsedPct),
    },
    totals: {
      nodes: nodes.length,
      byStatus: Object.fromEntries(counts) as Record<NodeStatus, number>,
      /** Mean over the nodes that have one. */
      uptimePct: statisticsOf(nodes.map((node) => node.uptimePct))?.avg ?? null,
      incidents: sum((node) => node.incidents.length),
      outages: sum((node) => node.outages),
      offlineMs: sum((node) => node.offlineMs),
      /** Neither uptime nor outage. */
      gatewayDownMs: totalMs(mergeWithin(downtimes, { from, to })),
      alerts: alerts.totals,
      runs: Object.fromEntries(runs) as RunTotals,
    },
    alerts: alerts.worst,
    /** The nodes that most need attention. */
    worst: nodes
      .filter(needsAttention)
      .slice(0, MOST_WORST)
      .map((node) => node.name),
    nodes,
  };
}

export function buildNode(row: ReportRow, period: Interval, downtimes: readonly Downtime[]) {
  const since = row.firstSessionAt ?? period.to;
  const window = { from: Math.min(Math.max(period.from, since), period.to), to: period.to };
  const sessions = row.sessions.map(({ from, to, awayMs = 0 }) => ({ from, to: to ?? period.to, awayMs }));
  const online = mergeWithin(sessions, window);
  const unknown = unknownTimes(downtimes, online, window);
  const outages = outagesOf(online, unknown, window);
  const offlineMs = outages.reduce((sum, { durationMs }) => sum + durationMs, 0);
  const knownMs = totalMs([window]) - totalMs(unknown);
  const onlineMs = knownMs - offlineMs;
  const awayMs = Math.min(
    onlineMs,
    sessions.reduce((sum, session) => sum + awayWithin(session, window), 0),
  );
  const { name, status, reasons, linkScore, machineScore, history, alerts, runs } = row;
  return {
    name,
    status,
    reasons: [...reasons],
    linkScore,
    machineScore,
    /** The first session, if it was within the period. */
    joinedAt: since > period.from && row.firstSessionAt !== null ? isoTime(since) : null,
    /** Of the time since the first session in which the gateway ran. */
    uptimePct: knownMs > 0 ? ((onlineMs - awayMs) / knownMs) * 100 : null,
    outages: outages.length,
    offlineMs: offlineMs + awayMs,
    ...byFigure((figure) => history.statistics(figure)),
    incidents: incidentsOf(outages, row, window),
    forecasts: row.forecasts
      .map(({ mount, fullAt, risePctPerDay }) => ({
        mount,
        fullAt: isoTime(fullAt),
        fullInMs: fullAt - period.to,
        risePctPerDay,
      }))
      .sort((a, b) => a.fullInMs - b.fullInMs),
    alerts,
    runs,
    series: {
      partMs: (period.to - period.from) / SERIES_PARTS,
      ...byFigure((figure) => history.series(figure)),
      onlinePct: onlineSeries(online, unknown, window, period),
    },
  };
}

function byFigure<T>(of: (figure: ShownFigure) => T): Record<ShownFigure, T> {
  return { cpuPct: of('cpuPct'), memUsedPct: of('memUsedPct'), diskUsedPct: of('diskUsedPct'), rttMs: of('rttMs') };
}

interface Outage extends Interval {
  /** Without unknown time in the middle, ms. */
  durationMs: number;
}

/** Known times without a session; an outage that spans unknown time counts once. */
function outagesOf(online: readonly Interval[], unknown: readonly Interval[], window: Interval): Outage[] {
  const outages: Outage[] = [];
  for (const gap of gapsWithin(mergeWithin([...online, ...unknown], window), window)) {
    const last = outages.at(-1);
    if (last !== undefined && coveredMs(online, { from: last.to, to: gap.from }) === 0) {
      last.to = gap.to;
      last.durationMs += totalMs([gap]);
    } else outages.push({ ...gap, durationMs: totalMs([gap]) });
  }
  return outages;
}

/** The time away recorded in a joined session, as if spread evenly over it. */
function awayWithin({ from, to, awayMs }: Interval & { awayMs: number }, window: Interval): number {
  if (awayMs === 0 || !(to > from)) return 0;
  return (awayMs * coveredMs([{ from, to }], window)) / (to - from);
}

function incidentsOf(outages: readonly Outage[], { troubles }: ReportRow, window: Interval): Incident[] {
  const offline = outages.map((outage) => ({ ...outage, status: 'offline' as const, reasons: [] }));
  const others = troubles.flatMap(({ from, to, status, reasons }) =>
    mergeWithin([{ from, to: to ?? window.to }], window).map((part) => ({
      ...part,
      status,
      reasons,
      durationMs: totalMs([part]),
    })),
  );
  return [...offline, ...others]
    .sort((a, b) => a.from - b.from)
    .map(({ from, to, durationMs, status, reasons }) => ({
      status,
      start: isoTime(from),
      end: to < window.to ? isoTime(to) : null,
      durationMs,
      reasons: [...reasons],
    }));
}

/** Percent online in each part; null where nothing is known. Two decimals: a chart shows no more, and the JSON stays small. */
function onlineSeries(
  online: readonly Interval[],
  unknown: readonly Interval[],
  window: Interval,
  { from, to }: Interval,
): (number | null)[] {
  const partMs = (to - from) / SERIES_PARTS;
  return Array.from({ length: SERIES_PARTS }, (_, index) => {
    const part = {
      from: Math.max(from + index * partMs, window.from),
      to: Math.min(from + (index + 1) * partMs, window.to),
    };
    const knownMs = totalMs([part]) - coveredMs(unknown, part);
    if (!(knownMs > 0)) return null;
    const offlineMs = totalMs(gapsWithin(mergeWithin([...online, ...unknown], part), part));
    return Math.round(Math.max(0, 100 - (offlineMs / knownMs) * 100) * 100) / 100;
  });
}

function compareNodes(a: NodeReport, b: NodeReport): number {
  return (
    worstFirst(a.status, b.status) ||
    (a.uptimePct ?? 100) - (b.uptimePct ?? 100) ||
    b.runs.failed - a.runs.failed ||
    (a.name < b.name ? -1 : Number(a.name > b.name))
  );
}

function finiteOrNull(limit: number): number | null {
  return Number.isFinite(limit) ? limit : null;
}
