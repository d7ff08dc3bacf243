/** Builds the health report: how each node did over a period, the worst first. Pure. */
import type { NodeStatus } from '../../../domain/node-status.ts';
import { NODE_STATUSES, worstFirst, worstStatus } from '../../../domain/node-status.ts';
import { isTerminal, RUN_STATES } from '../../../domain/run-state.ts';
import type { Interval } from '../intervals.ts';
import { coveredMs, gapsWithin, mergeWithin, totalMs, unknownTimes } from '../intervals.ts';
import { DEFAULT_HEALTH_THRESHOLDS } from '../judge/derive-status.ts';
import { statisticsOf } from '../statistics.ts';
import { buildSeries } from './report-series.ts';
import type {
  HealthReport,
  Incident,
  NodeReport,
  ReportAlerts,
  ReportInput,
  ReportLimits,
  ReportRow,
  RunTotals,
} from './report-types.ts';
import { MOST_WORST } from './report-types.ts';

const NO_ALERTS: ReportAlerts = { totals: { fired: 0, firing: 0, critical: 0 }, worst: [] };

/** @throws RangeError when the period is empty. */
export function buildReport({ from, to, rows, limits, alerts, downtimes }: ReportInput): HealthReport {
  const nodes = rows.map((row) => buildNode({ ...row, downtimes }, { from, to }));
  return assembleReport({ from, to }, nodes, limits, alerts, downtimes);
}

/** The report of nodes that were built one by one. @throws RangeError when the period is empty. */
export function assembleReport(
  { from, to }: Interval,
  unsorted: readonly NodeReport[],
  limits: ReportLimits = DEFAULT_HEALTH_THRESHOLDS,
  alerts: ReportAlerts = NO_ALERTS,
  downtimes: readonly Interval[] = [],
): HealthReport {
  if (!(from < to)) throw new RangeError('the period of a report must end after it starts');
  const nodes = [...unsorted].sort(compareNodes);
  const sum = (of: (node: NodeReport) => number): number => nodes.reduce((total, node) => total + of(node), 0);
  return {
    period: { from: iso(from), to: iso(to), durationMs: to - from },
    status: worstStatus(nodes.map((node) => node.status)),
    limits: {
      cpuPct: finiteOrNull(limits.cpuPct),
      memUsedPct: finiteOrNull(limits.memUsedPct),
      diskUsedPct: finiteOrNull(limits.diskUsedPct),
    },
    totals: {
      nodes: nodes.length,
      byStatus: countByStatus(nodes),
      uptimePct: statisticsOf(nodes.map((node) => node.uptimePct))?.avg ?? null,
      incidents: sum((node) => node.incidents.length),
      outages: sum((node) => node.outages),
      offlineMs: sum((node) => node.offlineMs),
      gatewayDownMs: totalMs(mergeWithin(downtimes, { from, to })),
      alerts: alerts.totals,
      runs: addRuns(nodes.map((node) => node.runs)),
    },
    alerts: alerts.worst,
    worst: nodes
      .filter((node) => needsAttention(node))
      .slice(0, MOST_WORST)
      .map((node) => node.name),
    nodes,
  };
}

/** Whether a person has to look at it: not online now, was not for a while, or will not be. */
export function needsAttention(node: NodeReport): boolean {
  return node.status !== 'online' || node.incidents.length > 0 || node.forecasts.length > 0;
}

/** One node of the report; {@link assembleReport} puts them together. */
export function buildNode(row: ReportRow, period: Interval): NodeReport {
  const since = row.firstSessionAt ?? period.to;
  const window = { from: Math.min(Math.max(period.from, since), period.to), to: period.to };
  const sessions = row.sessions.map(({ from, to, awayMs = 0 }) => ({ from, to: to ?? period.to, awayMs }));
  const online = mergeWithin(sessions, window);
  const unknown = unknownTimes(row.downtimes ?? [], online, window);
  const outages = outagesOf(online, unknown, window);
  const offlineMs = outages.reduce((sum, { durationMs }) => sum + durationMs, 0);
  const knownMs = totalMs([window]) - totalMs(unknown);
  const onlineMs = knownMs - offlineMs;
  const awayMs = Math.min(
    onlineMs,
    sessions.reduce((sum, session) => sum + awayWithin(session, window), 0),
  );
  return {
    name: row.name,
    status: row.status,
    reasons: [...row.reasons],
    linkScore: row.linkScore,
    machineScore: row.machineScore,
    joinedAt: since > period.from && row.firstSessionAt !== null ? iso(since) : null,
    uptimePct: knownMs > 0 ? ((onlineMs - awayMs) / knownMs) * 100 : null,
    outages: outages.length,
    offlineMs: offlineMs + awayMs,
    cpuPct: row.history.statistics('cpuPct'),
    memUsedPct: row.history.statistics('memUsedPct'),
    diskUsedPct: row.history.statistics('diskUsedPct'),
    rttMs: row.history.statistics('rttMs'),
    incidents: incidentsOf(outages, row, window),
    forecasts: row.forecasts
      .map(({ mount, fullAt, risePctPerDay }) => ({
        mount,
        fullAt: iso(fullAt),
        fullInMs: fullAt - period.to,
        risePctPerDay,
      }))
      .sort((a, b) => a.fullInMs - b.fullInMs),
    alerts: row.alerts ?? { fired: 0, firing: 0 },
    runs: countRuns(row),
    series: buildSeries({ history: row.history, online, unknown, window, period }),
  };
}

interface Outage extends Interval {
  /** Without the unknown time in the middle, ms. */
  durationMs: number;
}

/** Times without a session that are known to be the node's own; one that goes on across unknown time is one. */
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

/** The time away that a joined session holds, as if it were spread evenly over it. */
function awayWithin({ from, to, awayMs }: Interval & { awayMs: number }, window: Interval): number {
  if (awayMs === 0 || !(to > from)) return 0;
  return (awayMs * Math.max(0, Math.min(to, window.to) - Math.max(from, window.from))) / (to - from);
}

function incidentsOf(outages: readonly Outage[], { troubles }: ReportRow, window: Interval): Incident[] {
  const offline = outages.map((outage) => ({ ...outage, status: 'offline' as const, reasons: [] }));
  const others = troubles
    .map(({ from, to, ...rest }) => ({
      ...rest,
      from: Math.max(from, window.from),
      to: Math.min(to ?? window.to, window.to),
    }))
    .filter(({ from, to }) => from < to)
    .map((trouble) => ({ ...trouble, durationMs: totalMs([trouble]) }));
  return [...offline, ...others]
    .sort((a, b) => a.from - b.from)
    .map(({ from, to, durationMs, status, reasons }) => ({
      status,
      start: iso(from),
      end: to < window.to ? iso(to) : null,
      durationMs,
      reasons: [...reasons],
    }));
}

function countRuns({ runs, exitedNonZero }: ReportRow): RunTotals {
  const totals: RunTotals = { total: 0, active: 0, succeeded: 0, failed: 0, canceled: 0 };
  for (const state of RUN_STATES) {
    const count = runs[state] ?? 0;
    totals.total += count;
    if (!isTerminal(state)) totals.active += count;
    else if (state === 'canceled') totals.canceled += count;
    else if (state !== 'exited') totals.failed += count;
    else {
      totals.failed += exitedNonZero;
      totals.succeeded += count - exitedNonZero;
    }
  }
  return totals;
}

function addRuns(all: readonly RunTotals[]): RunTotals {
  const sum = (key: keyof RunTotals): number => all.reduce((total, runs) => total + runs[key], 0);
  return {
    total: sum('total'),
    active: sum('active'),
    succeeded: sum('succeeded'),
    failed: sum('failed'),
    canceled: sum('canceled'),
  };
}

function countByStatus(nodes: readonly NodeReport[]): Record<NodeStatus, number> {
  const counts: Record<NodeStatus, number> = { online: 0, limited: 0, error: 0, offline: 0 };
  for (const status of NODE_STATUSES) counts[status] = nodes.filter((node) => node.status === status).length;
  return counts;
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

function iso(ms: number): string {
  return new Date(ms).toISOString();
}
