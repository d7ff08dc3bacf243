/** What receivers are told: one shape for webhooks and commands, and a few lines of text for people. docs/alerts.md */

import { foldNodeNames } from '../../../../domain/node-set.ts';
import type { Severity } from '../../../../protocol/alert-views.ts';
import { formatDuration } from '../../../../shared/duration.ts';
import { stripControl } from '../../../../shared/text.ts';

/** Alerts that one message lists; it says how many there are. */
export const MOST_TOLD = 100;
/** Lines of text for people, when the alerts of one message do not all say the same. */
const MOST_LINES = 10;
/** Of the names in one such line, characters: what is wrong with them must not be cut off behind it. */
const MOST_NAMES_LENGTH = 300;

/** One alert as receivers are told of it. */
export interface ToldAlert {
  alert: string;
  rule: string;
  severity: Severity;
  node: string;
  nodeId: string;
  labels: Record<string, string>;
  summary: string;
  since: string;
  resolvedAt: string | null;
  /** When the end was not that the rule no longer holds. */
  reason: string | null;
}

/** What the outbox keeps for each alert and receiver. */
export interface AlertNotice {
  type: 'alert.firing' | 'alert.resolved' | 'alert.test';
  /** When it happened, ISO 8601 UTC. */
  timestamp: string;
  data: ToldAlert;
}

/** The body of a webhook, and what a command gets on stdin: of one alert, or of several of one rule. */
export interface AlertMessage extends AlertNotice {
  /** The fields of the first alert, then all of them. */
  data: ToldAlert & { count: number; alerts: readonly ToldAlert[] };
}

/** Out of the oldest notices of a batch, at most {@link MOST_TOLD} and at least one, and how many there are in all. */
export function combineNotices(notices: readonly [AlertNotice, ...AlertNotice[]], count: number): AlertMessage {
  const [{ type, timestamp, data }] = notices;
  const alerts = notices.map((notice) => notice.data);
  // The rule may have become another meanwhile.
  const severity = alerts.some((alert) => alert.severity === 'critical') ? 'critical' : data.severity;
  return { type, timestamp, data: { ...data, severity, count, alerts } };
}

/** `CRITICAL offline on node-1`, `RESOLVED offline on 50 nodes`: for a title. */
export function titleOf({ type, data }: AlertMessage): string {
  const head = type === 'alert.resolved' ? 'RESOLVED' : type === 'alert.test' ? 'TEST' : data.severity.toUpperCase();
  return stripControl(`${head} ${data.rule} on ${data.count === 1 ? data.node : `${data.count} nodes`}`);
}

/** What is behind the title: {@link detailLines} as one text. */
export function detailOf(message: AlertMessage): string {
  return detailLines(message).map(stripControl).join('\n');
}

/** Of several alerts, a line for all nodes of which the same is to be said: `node-[1-50]: offline: no session`. */
export function detailLines({ type, data }: AlertMessage): string[] {
  if (data.count === 1) return [detailOfAlike(type, [data])];
  const alike = [...Map.groupBy(data.alerts, ({ summary, reason }) => JSON.stringify([summary, reason])).values()];
  const shown = alike.slice(0, MOST_LINES);
  const lines = shown.map((alerts) => `${namesOf(alerts)}: ${detailOfAlike(type, alerts)}`);
  const left = data.count - shown.reduce((sum, alerts) => sum + alerts.length, 0);
  return left > 0 ? [...lines, `and ${left} more: see fleet alerts`] : lines;
}

function namesOf(alerts: readonly ToldAlert[]): string {
  const names = foldNodeNames(alerts.map(({ node }) => node));
  return names.length <= MOST_NAMES_LENGTH ? names : `${names.slice(0, MOST_NAMES_LENGTH - 1)}…`;
}

/** Of alerts with one summary and reason. */
function detailOfAlike(type: AlertNotice['type'], alerts: readonly ToldAlert[]): string {
  const [{ summary = '', reason = null } = {}] = alerts;
  if (type !== 'alert.resolved') return summary;
  const lasted = lastedWords(alerts);
  return reason === null
    ? `over after ${lasted}; it was: ${summary}`
    : `ended after ${lasted}, because ${reason}; it was: ${summary}`;
}

/** `12m`, or `11m 40s to 12m`. */
function lastedWords(alerts: readonly ToldAlert[]): string {
  const lasted = alerts.map(({ since, resolvedAt }) =>
    Math.max(0, Date.parse(resolvedAt ?? since) - Date.parse(since)),
  );
  const [least, most] = [Math.min(...lasted), Math.max(...lasted)].map(formatDuration);
  return least === most ? `${most}` : `${least} to ${most}`;
}
