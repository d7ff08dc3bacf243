/** Builds the health report: how each node did over a period, the worst first. Pure. */
import type { NodeStatus } from '../../protocol/node-status.ts';
import { NODE_STATUSES, worstFirst, worstStatus } from '../../protocol/node-status.ts';
import { isTerminal, RUN_STATES } from '../../protocol/run-state.ts';
import { DEFAULT_HEALTH_THRESHOLDS } from './derive-status.ts';
import type { Interval } from './intervals.ts';
import { gapsWithin, mergeWithin, totalMs } from './intervals.ts';
import { buildSeries } from './report-series.ts';
import type { HealthReport, NodeReport, ReportInput, ReportRow, RunTotals } from './report-types.ts';
import { statisticsOf } from './statistics.ts';

/** @throws RangeError when the period is empty. */
export function buildReport({ from, to, rows, limits = DEFAULT_HEALTH_THRESHOLDS }: ReportInput): HealthReport {
  if (!(from < to)) throw new RangeError('the period of a report must end after it starts');
  const nodes = rows.map((row) => buildNode(row, { from, to })).sort(compareNodes);
  const uptimes = nodes.map((node) => node.uptimePct);
  return {
    period: { from: iso(from), to: iso(to), durationMs: to - from },
    status: worstStatus(nodes.map((node) => node.status)),
    limits: { cpuPct: limits.cpuPct, memUsedPct: limits.memUsedPct, diskUsedPct: limits.diskUsedPct },
    totals: {
      nodes: nodes.length,
      byStatus: countByStatus(nodes),
      uptimePct: statisticsOf(uptimes)?.avg ?? null,
      incidents: nodes.reduce((sum, node) => sum + node.incidents.length, 0),
      offlineMs: nodes.reduce((sum, node) => sum + node.offlineMs, 0),
      runs: addRuns(nodes.map((node) => node.runs)),
    },
    nodes,
  };
}

function buildNode(row: ReportRow, period: Interval): NodeReport {
  const window = { from: Math.min(Math.max(period.from, row.joinedAt), period.to), to: period.to };
  const online = mergeWithin(
    row.sessions.map((session) => ({ from: session.from, to: session.to ?? period.to })),
    window,
  );
  const gaps = gapsWithin(online, window);
  const windowMs = window.to - window.from;
  const samples = row.samples.filter(({ at }) => at >= period.from && at < period.to);
  return {
    name: row.name,
    status: row.status,
    reasons: [...row.reasons],
    joinedAt: row.joinedAt > period.from ? iso(row.joinedAt) : null,
    uptimePct: windowMs > 0 ? (totalMs(online) / windowMs) * 100 : null,
    offlineMs: totalMs(gaps),
    cpuPct: statisticsOf(samples.map((sample) => sample.cpuPct)),
    memUsedPct: statisticsOf(samples.map((sample) => sample.memUsedPct)),
    diskUsedPct: statisticsOf(samples.map((sample) => sample.diskUsedPct)),
    rttMs: statisticsOf(samples.map((sample) => sample.rttMs)),
    incidents: gaps.map((gap) => ({
      start: iso(gap.from),
      end: gap.to < period.to ? iso(gap.to) : null,
      durationMs: gap.to - gap.from,
    })),
    runs: countRuns(row),
    series: buildSeries({ samples, online, window, period }),
  };
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

function iso(ms: number): string {
  return new Date(ms).toISOString();
}
