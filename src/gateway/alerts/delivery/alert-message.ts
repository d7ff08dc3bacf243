/** What receivers are told: one shape for webhooks and commands, and one line of text for people. docs/alerts.md */
import type { Severity } from '../../../protocol/alert-views.ts';
import { formatDuration } from '../../../shared/duration.ts';

/** The body of a webhook, what a command gets on stdin, and what the outbox keeps. */
export interface AlertMessage {
  type: 'alert.firing' | 'alert.resolved' | 'alert.test';
  /** When it happened, ISO 8601 UTC. */
  timestamp: string;
  data: {
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
  };
}

/** `CRITICAL offline on node-1`: for a title. */
export function titleOf({ type, data }: AlertMessage): string {
  const head = type === 'alert.resolved' ? 'RESOLVED' : type === 'alert.test' ? 'TEST' : data.severity.toUpperCase();
  return `${head} ${data.rule} on ${data.node}`;
}

/** What is behind the title. */
export function detailOf({ type, data }: AlertMessage): string {
  if (type !== 'alert.resolved' || data.resolvedAt === null) return data.summary;
  const lasted = formatDuration(Math.max(0, Date.parse(data.resolvedAt) - Date.parse(data.since)));
  return data.reason === null
    ? `over after ${lasted}; it was: ${data.summary}`
    : `ended after ${lasted}, because ${data.reason}; it was: ${data.summary}`;
}
