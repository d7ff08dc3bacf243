/** Gathers the facts of a health report from the store, a few nodes per turn so that nobody else has to wait. */
import { setImmediate } from 'node:timers/promises';
import { isoTime } from '../../../shared/duration.ts';
import type { BusStore } from '../../bus/runs-table.ts';
import type { NodeRecord } from '../../nodes/nodes-table.ts';
import { silencedUntil } from '../alerts/silences.ts';
import type { AlertRow, AlertsStore, SilenceRow } from '../alerts/tables.ts';
import { NodeHistory, readHistories, readHistory } from '../history/node-history.ts';
import type { Interval } from '../intervals.ts';
import type { HealthMonitor } from '../judge/monitor.ts';
import type { HealthReport, NodeReport } from './build.ts';
import { addRuns, assembleReport, buildNode, NO_RUNS } from './build.ts';
import {
  type AlertCounts,
  MOST_ALERTS,
  type ReportAlert,
  type ReportAlerts,
  type ReportLimits,
  type ReportRow,
  type RunTotals,
  SERIES_PARTS,
} from './model.ts';

/** Nodes per turn: some 10 ms of work. */
const TURN_NODES = 20;

/** The store as reports see it. */
interface ReportStore extends BusStore, AlertsStore {}

interface ReportSources {
  store: ReportStore;
  monitor: HealthMonitor;
  limits: ReportLimits;
}

export async function gatherReport(
  { store, monitor, limits }: ReportSources,
  nodes: readonly NodeRecord[],
  period: Interval,
): Promise<HealthReport> {
  const parts = { ...period, parts: SERIES_PARTS };
  const [first] = nodes;
  const histories =
    nodes.length === 1 && first !== undefined
      ? new Map([[first.id, readHistory(store.history, first.id, parts)]])
      : await readHistories(store.history, parts);
  const runs = runsByNode(store, period);
  const alerts = readReportAlerts(store, nodes, period);
  const downtimes = store.gatewayUptime.downtimes(period.from, period.to);
  const reports: NodeReport[] = [];
  for (let begin = 0; begin < nodes.length; begin += TURN_NODES) {
    if (begin > 0) await setImmediate();
    const turn = nodes.slice(begin, begin + TURN_NODES);
    const facts = readFacts(store, turn, period);
    for (const node of turn) {
      const { status, reasons, link, machineScore } = monitor.healthOf(node);
      const row: ReportRow = {
        ...facts(node),
        name: node.name,
        status,
        reasons,
        linkScore: link.score,
        machineScore,
        history: histories.get(node.id) ?? new NodeHistory(parts),
        runs: runs.get(node.id) ?? NO_RUNS,
        alerts: alerts.countsOf(node.id),
      };
      reports.push(buildNode(row, period, downtimes));
      histories.delete(node.id);
    }
  }
  return assembleReport(period, reports, { limits, alerts, downtimes });
}

type Facts = Pick<ReportRow, 'firstSessionAt' | 'sessions' | 'troubles' | 'forecasts'>;

/** Reads several nodes with one query per table, ten times as fast as node by node. */
function readFacts(
  { sessions, incidents, history }: ReportStore,
  nodes: readonly NodeRecord[],
  { from, to }: Interval,
): (node: NodeRecord) => Facts {
  const ids = nodes.map(({ id }) => id);
  const firsts = sessions.firstSessionsAt(ids);
  const present = sessions.sessionsOf(ids, from, to);
  const troubles = incidents.betweenOf(ids, from, to);
  const forecasts = history.disks.forecastsOf(ids, to);
  return ({ id, lastSeenAt, createdAt }) => ({
    // The sessions of a node that has been away for longer than the retention are gone.
    firstSessionAt: firsts.get(id) ?? (lastSeenAt === null ? null : createdAt),
    sessions: (present.get(id) ?? []).map(({ connectedAt, endedAt, awayMs }) => ({
      from: connectedAt,
      to: endedAt,
      awayMs,
    })),
    troubles: (troubles.get(id) ?? []).map(({ startedAt, endedAt, ...rest }) => ({
      ...rest,
      from: startedAt,
      to: endedAt,
    })),
    forecasts: forecasts.get(id) ?? [],
  });
}

function runsByNode({ runs }: ReportStore, { from, to }: Interval): Map<string, RunTotals> {
  const byNode = new Map<string, RunTotals>();
  const totalsOf = (nodeId: string): RunTotals => {
    const totals = byNode.get(nodeId) ?? { ...NO_RUNS };
    byNode.set(nodeId, totals);
    return totals;
  };
  for (const { nodeId, state, exitCode, count } of runs.countEnded(from, to)) {
    addRuns(totalsOf(nodeId), state, exitCode, count);
  }
  for (const { nodeId, state } of runs.open()) addRuns(totalsOf(nodeId), state, null, 1);
  return byNode;
}

/** Counts and worst alerts of these nodes; a report says nothing about removed ones. */
export function readReportAlerts(
  { alerts, silences }: Pick<ReportStore, 'alerts' | 'silences'>,
  nodes: readonly { id: string }[],
  period: Interval,
): ReportAlerts & { countsOf(nodeId: string): AlertCounts } {
  const ids = new Set(nodes.map(({ id }) => id));
  const totals = { fired: 0, firing: 0, critical: 0 };
  const byNode = new Map<string, AlertCounts>();
  for (const { nodeId, severity, state, count } of alerts.countFired(period)) {
    if (!ids.has(nodeId)) continue;
    const { fired, firing } = byNode.get(nodeId) ?? { fired: 0, firing: 0 };
    const firingNow = state === 'firing' ? count : 0;
    byNode.set(nodeId, { fired: fired + count, firing: firing + firingNow });
    totals.fired += count;
    totals.firing += firingNow;
    if (severity === 'critical') totals.critical += firingNow;
  }
  const silenced = silences.active(period.to);
  const rows = totals.fired === 0 ? [] : alerts.worstFired(period, ids, MOST_ALERTS);
  return {
    totals,
    worst: rows.map((row) => reportAlert(row, silenced, period.to)),
    countsOf: (nodeId) => byNode.get(nodeId) ?? { fired: 0, firing: 0 },
  };
}

function reportAlert(row: AlertRow, silences: readonly SilenceRow[], now: number): ReportAlert {
  const { rule, severity, nodeName, since, resolvedAt, summary, reason, isNotified } = row;
  const isFiring = row.state === 'firing';
  return {
    rule,
    severity,
    node: nodeName,
    state: isFiring ? 'firing' : 'resolved',
    since: isoTime(since),
    until: isoTime(resolvedAt),
    durationMs: Math.max(0, (resolvedAt ?? now) - since),
    silenced: isFiring ? silencedUntil(silences, row) !== null : !isNotified,
    summary,
    reason,
  };
}
