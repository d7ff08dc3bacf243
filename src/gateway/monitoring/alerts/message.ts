/** What receivers get: one shape for webhooks and commands, and a few lines of text for people. docs/alerts.md */
import { foldNodeNames } from '../../../domain/node-set.ts';
import type { Severity } from '../../../protocol/alerts.ts';
import { formatDuration } from '../../../shared/duration.ts';
import { cutText, stripControl } from '../../../shared/text.ts';

/** Most alerts listed in one message, which also has their number. */
export const MOST_LISTED = 100;
/** Most lines of text for people. */
const MOST_LINES = 10;
/** Longest list of names in one line, UTF-16 units: the facts after it must not be cut off. */
const MAX_NAMES_LENGTH = 300;

/** One alert as receivers see it. */
interface NoticeData {
  alert: string;
  rule: string;
  severity: Severity;
  node: string;
  nodeId: string;
  labels: Record<string, string>;
  summary: string;
  since: string;
  resolvedAt: string | null;
  /** Why it ended if not because the condition cleared. */
  reason: string | null;
}

/** What the outbox keeps for each alert and receiver. */
export interface AlertNotice {
  type: 'alert.firing' | 'alert.resolved' | 'alert.test';
  /** When it happened, ISO 8601 UTC. */
  timestamp: string;
  data: NoticeData;
}

/** The body of a webhook and the stdin of a command: one alert, or several of one rule. */
export interface AlertMessage extends AlertNotice {
  /** The fields of the first alert, then all alerts. */
  data: NoticeData & { count: number; alerts: readonly NoticeData[] };
}

/** From the oldest notices of a batch, {@link MOST_LISTED} at most, and their number. */
export function combineNotices(notices: readonly [AlertNotice, ...AlertNotice[]], count: number): AlertMessage {
  const [{ type, timestamp, data }] = notices;
  const alerts = notices.map((notice) => notice.data);
  // The rule may have changed in between.
  const severity = alerts.some((alert) => alert.severity === 'critical') ? 'critical' : data.severity;
  return { type, timestamp, data: { ...data, severity, count, alerts } };
}

/** `CRITICAL offline on node-1`, `RESOLVED offline on 50 nodes`. */
export function titleOf({ type, data }: AlertMessage): string {
  const head = type === 'alert.resolved' ? 'RESOLVED' : type === 'alert.test' ? 'TEST' : data.severity.toUpperCase();
  return stripControl(`${head} ${data.rule} on ${data.count === 1 ? data.node : `${data.count} nodes`}`);
}

/** Text below the title: for several alerts, one line per group of nodes with the same state (`node-[1-50]: offline: no session`). */
export function detailOf({ type, data }: AlertMessage): string {
  if (data.count === 1) return stripControl(detailOfGroup(type, [data]));
  const groups = [...Map.groupBy(data.alerts, ({ summary, reason }) => JSON.stringify([summary, reason])).values()];
  const shown = groups.slice(0, MOST_LINES);
  const lines = shown.map((alerts) => {
    const names = foldNodeNames(alerts.map(({ node }) => node));
    return `${cutText(names, MAX_NAMES_LENGTH)}: ${detailOfGroup(type, alerts)}`;
  });
  const left = data.count - shown.reduce((sum, alerts) => sum + alerts.length, 0);
  if (left > 0) lines.push(`and ${left} more: see fleet alerts`);
  return lines.map(stripControl).join('\n');
}

/** For alerts with one summary and reason. */
function detailOfGroup(type: AlertNotice['type'], alerts: readonly NoticeData[]): string {
  const [{ summary = '', reason = null } = {}] = alerts;
  if (type !== 'alert.resolved') return summary;
  const because = reason === null ? '' : ` because ${reason}`;
  return `resolved after ${lastedWords(alerts)}${because}; it was: ${summary}`;
}

/** `12m`, or `11m 40s to 12m`. */
function lastedWords(alerts: readonly NoticeData[]): string {
  const lasted = alerts.map(({ since, resolvedAt }) =>
    Math.max(0, Date.parse(resolvedAt ?? since) - Date.parse(since)),
  );
  const [least, most] = [Math.min(...lasted), Math.max(...lasted)].map(formatDuration);
  return least === most ? `${most}` : `${least} to ${most}`;
}
