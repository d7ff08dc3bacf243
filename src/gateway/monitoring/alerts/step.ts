/** The life of one alert: what one evaluation of a rule on a node changes, as a row to store and an event to notify of. Pure. */

import type { Judgement } from './conditions.ts';
import type { AlertRule } from './config.ts';
import type { AlertRow } from './tables.ts';

/** An alert of one rule on one node that has not ended. */
export interface ActiveAlert {
  state: 'pending' | 'firing';
  /** Since when the condition holds, ms. */
  since: number;
  /** If firing: since when the condition no longer holds, ms; null while it does. */
  clearSince: number | null;
}

/**
 * The alert after one evaluation; null for none. If `holds` is null (unknown, such as the disk of an offline node), a firing
 * alert stays, because nothing says that it ended, and a pending one is dropped. A clock that was set back counts from now.
 */
export function nextAlert(
  before: ActiveAlert | null,
  holds: boolean | null,
  { forMs, clearForMs }: Pick<AlertRule, 'forMs' | 'clearForMs'>,
  now: number,
): ActiveAlert | null {
  if (before?.state === 'firing') {
    if (holds !== false) return { ...before, clearSince: null };
    const clearSince = Math.min(before.clearSince ?? now, now);
    return now - clearSince >= clearForMs ? null : { ...before, clearSince };
  }
  if (!holds) return null;
  const since = Math.min(before?.since ?? now, now);
  return { state: now - since < forMs ? 'pending' : 'firing', since, clearSince: null };
}

/** To be stored as a whole. */
export interface AlertChange {
  row: AlertRow;
  /** It was pending and cleared before anyone was notified: the row is deleted. */
  isDropped: boolean;
  /** What to notify of. */
  event: 'firing' | 'resolved' | null;
}

interface Evaluation {
  rule: AlertRule;
  node: { id: string; name: string };
  /** The rule's alert on the node, if it has one. */
  row: AlertRow | undefined;
  judgement: Judgement;
  isSilenced: boolean;
  now: number;
}

/** Null if nothing changes. */
export function stepAlert(
  { rule, node, row, judgement, isSilenced, now }: Evaluation,
  newId: () => string,
): AlertChange | null {
  const { holds, summary } = judgement;
  const before = row === undefined || row.state === 'resolved' ? null : { ...row, state: row.state };
  const after = nextAlert(before, holds, rule, now);
  if (after === null) return row === undefined ? null : endAlert(row, now, null);
  const { state, since, clearSince } = after;
  const hasFired = state === 'firing' && row?.state !== 'firing';
  // When it fires, or when a silence ends and it still does.
  const notifies = state === 'firing' && !row?.isNotified && !isSilenced;
  if (row?.state === state && row.since === since && row.clearSince === clearSince && !notifies) return null;
  const next: AlertRow = {
    id: row?.id ?? newId(),
    rule: rule.name,
    severity: rule.severity,
    nodeId: node.id,
    nodeName: node.name,
    state,
    since,
    clearSince,
    firedAt: hasFired ? now : (row?.firedAt ?? null),
    resolvedAt: null,
    // A firing alert keeps the text with which it fired.
    summary: row?.state === 'firing' ? row.summary : summary,
    reason: null,
    isNotified: notifies || (row?.isNotified ?? false),
  };
  return { row: next, isDropped: false, event: notifies ? 'firing' : null };
}

/** Ends an alert. Receivers that were notified that it fires are notified of its end, silenced or not. */
export function endAlert(row: AlertRow, now: number, reason: string | null): AlertChange {
  if (row.state === 'pending') return { row, isDropped: true, event: null };
  const resolved: AlertRow = { ...row, state: 'resolved', clearSince: null, resolvedAt: now, reason };
  return { row: resolved, isDropped: false, event: row.isNotified ? 'resolved' : null };
}
