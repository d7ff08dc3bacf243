/** What the API is asked about alerts. */
import { z } from 'zod';
import { figure, MAX_WORDS, shown, text } from '../domain/bounded.ts';

/** What the API is asked about alerts. */
const MAX_SILENCE_MS = 365 * 86_400_000;

export const silenceRequest = z.strictObject({
  /** A rule, a node, or the id of an alert or its beginning. */
  what: z.string().min(1).max(256),
  forMs: z.number().int().positive().max(MAX_SILENCE_MS, 'a silence lasts at most 365 days'),
  reason: z.string().min(1).max(500).optional(),
});

export const unsilenceRequest = z.strictObject({ what: z.string().min(1).max(256) });

export const alertTestRequest = z.strictObject({
  /** All of them when absent. */
  receiver: z.string().min(1).max(64).optional(),
});

/** Alerts as the API and `--json` show them. Times are ISO 8601 UTC. docs/alerts.md */
export const SEVERITIES = ['warning', 'critical'] as const;
export type Severity = (typeof SEVERITIES)[number];

/** `pending`: the rule holds, but not for long enough to tell anybody. */
const ALERT_STATES = ['pending', 'firing', 'resolved'] as const;
export type AlertState = (typeof ALERT_STATES)[number];

/** What became of telling one receiver one thing. */
const deliveryViewSchema = z.object({
  /** The idempotency id that the receiver sees; the same for alerts in one message. */
  id: shown,
  receiver: shown,
  event: z.enum(['firing', 'resolved', 'test']),
  outcome: z.enum(['waiting', 'delivered', 'given_up']),
  attempts: figure,
  /** Of the last attempt that failed; null when none did. */
  error: text.nullable(),
  /** When it was delivered or given up, or is tried next. */
  at: shown,
});
export type DeliveryView = z.infer<typeof deliveryViewSchema>;

export const alertViewSchema = z.object({
  id: shown,
  rule: shown,
  severity: z.enum(SEVERITIES),
  node: shown,
  state: z.enum(ALERT_STATES),
  /** Since when the rule holds. */
  since: shown,
  firedAt: shown.nullable(),
  resolvedAt: shown.nullable(),
  /** For a person, as of when it fired, or now while it is pending. */
  summary: text,
  /** When the end was not that the rule no longer holds: the node or the rule is gone. */
  reason: text.nullable(),
  /** Null when nobody silenced it. */
  silencedUntil: shown.nullable(),
  deliveries: z.array(deliveryViewSchema).max(MAX_WORDS),
});
export type AlertView = z.infer<typeof alertViewSchema>;

export const silenceViewSchema = z.object({
  id: shown,
  kind: z.enum(['rule', 'node', 'alert']),
  /** Name of the rule or node, id of the alert. */
  what: shown,
  until: shown,
  reason: text.nullable(),
  by: shown,
});
export type SilenceView = z.infer<typeof silenceViewSchema>;

/** What came back from one receiver of `fleet alerts test`. */
export const alertTestViewSchema = z.object({
  receiver: shown,
  kind: shown,
  delivered: z.boolean(),
  error: text.nullable(),
  durationMs: figure,
});
export type AlertTestView = z.infer<typeof alertTestViewSchema>;
