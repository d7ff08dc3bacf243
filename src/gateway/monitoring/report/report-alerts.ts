/** The alerts of a health report: how many fired, and the worst of them, so that a bad night does not fill the page. */

import type { AlertRow } from '../alerts/alerts-table.ts';
import { silencedUntil } from '../alerts/silences.ts';
import type { SilenceRow } from '../alerts/silences-table.ts';
import type { Interval } from '../intervals.ts';
import type { ReportStore } from './gather-report.ts';
import { type AlertCounts, MOST_ALERTS, type ReportAlert, type ReportAlerts } from './report-types.ts';

export interface NodeAlerts extends ReportAlerts {
  countsOf(nodeId: string): AlertCounts;
}

/** Of these nodes only: of one that was removed the report knows nothing else, either. */
export function readReportAlerts(
  { alerts, silences }: Pick<ReportStore, 'alerts' | 'silences'>,
  nodes: readonly { id: string }[],
  period: Interval,
): NodeAlerts {
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
  const { rule, severity, nodeName, since, resolvedAt, summary, reason, isTold } = row;
  const isFiring = row.state === 'firing';
  return {
    rule,
    severity,
    node: nodeName,
    state: isFiring ? 'firing' : 'resolved',
    since: new Date(since).toISOString(),
    until: resolvedAt === null ? null : new Date(resolvedAt).toISOString(),
    durationMs: Math.max(0, (resolvedAt ?? now) - since),
    silenced: isFiring ? silencedUntil(silences, row) !== null : !isTold,
    summary,
    reason,
  };
}
