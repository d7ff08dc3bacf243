/** Alerts as the API and `--json` show them. Times are ISO 8601 UTC. docs/alerts.md */

export const SEVERITIES = ['warning', 'critical'] as const;
export type Severity = (typeof SEVERITIES)[number];

/** `pending`: the rule holds, but not for long enough to tell anybody. */
export type AlertState = 'pending' | 'firing' | 'resolved';

/** What became of telling one receiver one thing. */
export interface DeliveryView {
  /** The idempotency id that the receiver sees; the same for alerts that it is told of together. */
  id: string;
  receiver: string;
  event: 'firing' | 'resolved' | 'test';
  outcome: 'waiting' | 'delivered' | 'given_up';
  attempts: number;
  /** Of the last attempt that failed; null when none did. */
  error: string | null;
  /** When it was delivered or given up, or is tried next. */
  at: string;
}

export interface AlertView {
  id: string;
  rule: string;
  severity: Severity;
  node: string;
  state: AlertState;
  /** Since when the rule holds. */
  since: string;
  firedAt: string | null;
  resolvedAt: string | null;
  /** For a person, as of when it fired, or now while it is pending. */
  summary: string;
  /** When the end was not that the rule no longer holds: the node or the rule is gone. */
  reason: string | null;
  /** Null when nobody silenced it. */
  silencedUntil: string | null;
  deliveries: DeliveryView[];
}

export interface SilenceView {
  id: string;
  kind: 'rule' | 'node' | 'alert';
  /** Name of the rule or node, id of the alert. */
  what: string;
  until: string;
  reason: string | null;
  by: string;
}

/** What came back from one receiver of `fleet alerts test`. */
export interface AlertTestView {
  receiver: string;
  kind: string;
  delivered: boolean;
  error: string | null;
  durationMs: number;
}
