/** Alerts as a table for people. */

import type { AlertView, DeliveryView } from '../../protocol/alert-views.ts';
import { formatRelativeTime } from '../../shared/duration.ts';
import type { OutputPort } from '../output/output-port.ts';
import { formatTable, type TableCell, tableOptions } from '../output/table.ts';

const COLUMNS = ['ID', 'STATE', 'SEVERITY', 'RULE', 'NODE', 'SINCE', 'TOLD', 'WHAT'].map((header) => ({ header }));

export function formatAlerts(alerts: readonly AlertView[], now: number, out: OutputPort): string {
  const rows = alerts.map((alert): TableCell[] => [
    alert.id,
    paintState(alert, out.style),
    alert.severity,
    alert.rule,
    alert.node,
    formatRelativeTime(alert.since, now),
    alert.deliveries.map(describeDelivery).join(', '),
    describeAlert(alert, now),
  ]);
  return formatTable(COLUMNS, rows, tableOptions(out));
}

function paintState({ state, severity, silencedUntil }: AlertView, style: OutputPort['style']): TableCell {
  if (state !== 'firing' || silencedUntil !== null) return { text: state, paint: style.dim };
  return { text: state, paint: severity === 'critical' ? style.red : style.yellow };
}

function describeAlert({ summary, silencedUntil, resolvedAt, reason }: AlertView, now: number): string {
  const parts = [summary];
  if (silencedUntil !== null) parts.push(`silenced, ends ${formatRelativeTime(silencedUntil, now)}`);
  if (resolvedAt !== null) parts.push(`over ${formatRelativeTime(resolvedAt, now)}`);
  if (reason !== null) parts.push(reason);
  return parts.join('; ');
}

/** `ops` when it was told, `ops: given up (HTTP 404)` when not. */
function describeDelivery({ receiver, event, outcome, error }: DeliveryView): string {
  const what = event === 'resolved' ? `${receiver} (end)` : receiver;
  if (outcome === 'delivered') return what;
  const why = error === null ? '' : ` (${error})`;
  return `${what}: ${outcome === 'waiting' ? 'waits' : 'given up'}${why}`;
}
