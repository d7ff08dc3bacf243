/** Gathers what a health report is made of out of the store, node by node, with pauses in which everybody else has a turn. */

import { setImmediate } from 'node:timers/promises';
import type { RunState } from '../../../domain/run-state.ts';
import type { BusStore } from '../../bus/runs-table.ts';
import type { NodeRecord } from '../../nodes/nodes-table.ts';
import type { AlertsStore } from '../alerts/alerts-table.ts';
import { forecastDisk } from '../history/forecast-disk.ts';
import { NodeHistory } from '../history/node-history.ts';
import { readHistories, readHistory } from '../history/read-history.ts';
import type { Interval } from '../intervals.ts';
import type { HealthMonitor } from '../judge/monitor.ts';
import { assembleReport, buildNode } from './report.ts';
import { readReportAlerts } from './report-alerts.ts';
import { SERIES_PARTS } from './report-series.ts';
import type { HealthReport, NodeReport, ReportLimits, ReportRow } from './report-types.ts';

/** Of disks that is looked at to say when they will be full, ms. */
const DISK_HISTORY_MS = 14 * 86_400_000;
/** Nodes in one turn: some 10 ms of work. */
const TURN_NODES = 20;

export interface ReportSources {
  store: ReportStore;
  monitor: HealthMonitor;
  limits: ReportLimits;
}

export async function gatherReport(
  sources: ReportSources,
  nodes: readonly NodeRecord[],
  period: Interval,
): Promise<HealthReport> {
  const { store, limits } = sources;
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
      const row: ReportRow = {
        ...healthNow(sources, node),
        ...facts(node),
        history: histories.get(node.id) ?? new NodeHistory(parts),
        ...(runs.get(node.id) ?? { runs: {}, exitedNonZero: 0 }),
        alerts: alerts.countsOf(node.id),
        downtimes,
      };
      reports.push(buildNode(row, period));
      histories.delete(node.id);
    }
  }
  return assembleReport(period, reports, limits, alerts, downtimes);
}

function healthNow({ monitor }: ReportSources, node: NodeRecord) {
  const { status, reasons, link, machineScore } = monitor.healthOf(node);
  return { name: node.name, status, reasons, linkScore: link.score, machineScore };
}

type Facts = Pick<ReportRow, 'firstSessionAt' | 'sessions' | 'troubles' | 'forecasts'>;

/** What the store knows of these nodes, all of them with one query each: asking node by node takes ten times as long. */
function readFacts(
  { sessions, incidents, history }: ReportStore,
  nodes: readonly NodeRecord[],
  { from, to }: Interval,
): (node: NodeRecord) => Facts {
  const ids = nodes.map(({ id }) => id);
  const firsts = sessions.firstSessionsAt(ids);
  const present = sessions.sessionsOf(ids, from, to);
  const troubles = incidents.betweenOf(ids, from, to);
  const disksFrom = to - DISK_HISTORY_MS;
  const trends = history.diskTrendsOf(ids, disksFrom);
  return ({ id, lastSeenAt, createdAt }) => ({
    // Of a node that has been away for longer than sessions are kept, none is left.
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
    forecasts: (trends.get(id) ?? []).flatMap(({ mount, ...trend }) => {
      const forecast = forecastDisk(trend, disksFrom, to);
      return forecast === null ? [] : [{ mount, ...forecast }];
    }),
  });
}

function runsByNode(
  store: ReportStore,
  { from, to }: Interval,
): Map<string, Pick<ReportRow, 'runs' | 'exitedNonZero'>> {
  const byNode = new Map<string, { runs: Partial<Record<RunState, number>>; exitedNonZero: number }>();
  const countRuns = (nodeId: string, state: RunState, count: number, isFailed: boolean): void => {
    const entry = byNode.get(nodeId) ?? { runs: {}, exitedNonZero: 0 };
    byNode.set(nodeId, entry);
    entry.runs[state] = (entry.runs[state] ?? 0) + count;
    if (isFailed) entry.exitedNonZero += count;
  };
  for (const { nodeId, state, exitCode, count } of store.runs.countEnded(from, to)) {
    countRuns(nodeId, state, count, state === 'exited' && exitCode !== 0);
  }
  for (const { nodeId, state } of store.runs.open()) countRuns(nodeId, state, 1, false);
  return byNode;
}

/** The store as reports see it. */
export interface ReportStore extends BusStore, AlertsStore {}
