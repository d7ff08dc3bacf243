/** One look at one node: which of its alerts begin, fire or end, as rows to store and messages to put out. */

import type { NodeRecord } from '../../nodes/nodes-table.ts';
import type { AlertRule } from './alert-rule.ts';
import type { AlertRow } from './alerts-table.ts';
import type { AlertNotice } from './delivery/alert-message.ts';
import { judgeCondition } from './judge-condition.ts';
import type { NodeFacts } from './node-facts.ts';
import { type ActiveAlert, stepAlert } from './step-alert.ts';

/** What is to be stored, all of it or nothing. */
export interface AlertChange {
  row: AlertRow;
  /** Pending, and over before anybody was told: the row goes. */
  isDropped: boolean;
  /** To whom (null: all) to put out that it fires or is over; undefined for nobody. */
  tell: { event: 'firing' | 'resolved'; receivers: readonly string[] | null } | undefined;
}

export interface AlertLook {
  rule: AlertRule;
  node: Pick<NodeRecord, 'id' | 'name'>;
  facts: NodeFacts;
  /** The alert of that rule on that node that is not over. */
  row: AlertRow | undefined;
  isSilenced: boolean;
  now: number;
}

/** Null when nothing changes. Pure but for `newId`. */
export function lookAtAlert(look: AlertLook, newId: () => string): AlertChange | null {
  const { rule, node, facts, row, isSilenced, now } = look;
  const { holds, summary } = judgeCondition(rule.when, facts, now);
  const before = row === undefined ? null : toActive(row);
  const { after, happened } = stepAlert(before, holds, rule, now);
  if (row === undefined && after === null) return null;
  const base: AlertRow = row ?? {
    id: newId(),
    rule: rule.name,
    severity: rule.severity,
    nodeId: node.id,
    nodeName: node.name,
    state: 'pending',
    since: now,
    clearSince: null,
    firedAt: null,
    resolvedAt: null,
    summary,
    reason: null,
    isTold: false,
  };
  if (after === null) {
    if (happened.includes('dropped')) return { row: base, isDropped: true, tell: undefined };
    return endAlert(base, rule, now, null);
  }
  const fired = happened.includes('fired');
  const isFiring = after.state === 'firing';
  // Told when it fires, or later, when the silence is over and it still does.
  const tells = isFiring && !base.isTold && !isSilenced;
  const next: AlertRow = {
    ...base,
    ...after,
    nodeName: node.name,
    severity: rule.severity,
    firedAt: fired ? now : base.firedAt,
    summary: isFiring && !fired ? base.summary : summary,
    isTold: base.isTold || tells,
  };
  const isSame = row !== undefined && row.state === next.state && row.clearSince === next.clearSince && !tells;
  if (isSame && row.since === next.since) return null;
  return { row: next, isDropped: false, tell: tells ? { event: 'firing', receivers: rule.notify } : undefined };
}

/** Ends a firing alert. Whoever was told that it fires is told that it is over, silenced or not. */
export function endAlert(row: AlertRow, rule: AlertRule | undefined, now: number, reason: string | null): AlertChange {
  const resolved: AlertRow = { ...row, state: 'resolved', clearSince: null, resolvedAt: now, reason };
  return {
    row: resolved,
    isDropped: false,
    tell: row.isTold ? { event: 'resolved', receivers: rule?.notify ?? null } : undefined,
  };
}

export function noticeOf(
  row: AlertRow,
  event: 'firing' | 'resolved',
  labels: Record<string, string>,
  now: number,
): AlertNotice {
  return {
    type: `alert.${event}`,
    timestamp: new Date(now).toISOString(),
    data: {
      alert: row.id,
      rule: row.rule,
      severity: row.severity,
      node: row.nodeName,
      nodeId: row.nodeId,
      labels,
      summary: row.summary,
      since: new Date(row.since).toISOString(),
      resolvedAt: row.resolvedAt === null ? null : new Date(row.resolvedAt).toISOString(),
      reason: row.reason,
    },
  };
}

function toActive({ state, since, clearSince }: AlertRow): ActiveAlert | null {
  return state === 'resolved' ? null : { state, since, clearSince };
}
