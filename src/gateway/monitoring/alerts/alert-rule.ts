/** One rule of `gateway.alerts.rules`: what must be so of a node, for how long, for somebody to be told. */
import { z } from 'zod';
import { labelsSchema } from '../../../domain/names.ts';
import { parseSelector } from '../../../domain/selector.ts';
import { SEVERITIES } from '../../../protocol/alert-views.ts';
import { durationSchema, intervalSchema } from '../../../shared/config.ts';

/** Figures of a heartbeat that a rule may hold against a limit. */
export const ALERT_METRICS = [
  'cpuPct',
  'load1',
  'loadPerCore',
  'memUsedPct',
  'swapUsedPct',
  'diskUsedPct',
  'inodesUsedPct',
  'rttMs',
  'lostPct',
  'temperatureC',
  'batteryPct',
  'agentLagMs',
  'runsActive',
] as const;
export type AlertMetric = (typeof ALERT_METRICS)[number];

export type AlertCondition =
  | { kind: 'status'; status: 'limited' | 'error' | 'offline' }
  /** At or above, or at or below. */
  | { kind: 'metric'; metric: AlertMetric; direction: 'above' | 'below'; limit: number }
  | { kind: 'diskFull'; withinMs: number }
  | { kind: 'skew'; limitMs: number }
  | { kind: 'flapping'; reconnectsPerHour: number }
  | { kind: 'clone' }
  | { kind: 'tokenProblem' };

/** So long a figure must be clear of its limit before the alert ends, unless the rule says otherwise, ms. */
const FIGURE_CLEAR_MS = 60_000;

const conditionFields = z.strictObject({
  status: z.enum(['limited', 'error', 'offline']).optional(),
  metric: z.enum(ALERT_METRICS).optional(),
  above: z.number().optional(),
  below: z.number().optional(),
  diskFullWithin: intervalSchema.optional(),
  skew: intervalSchema.optional(),
  flapping: z.number().int().min(1).max(1_000).optional(),
  clone: z.literal(true).optional(),
  tokenProblem: z.literal(true).optional(),
});

export const alertConditionSchema = conditionFields.transform((given, context): AlertCondition => {
  const { above, below, ...kinds } = given;
  const fault = (message: string): never => {
    context.addIssue({ code: 'custom', message });
    return z.NEVER;
  };
  const named = Object.entries(kinds).filter(([, value]) => value !== undefined);
  if (named.length !== 1) {
    return fault(
      `give exactly one of ${Object.keys(conditionFields.shape).slice(0, 2).join(', ')}, diskFullWithin, skew, flapping, clone, tokenProblem`,
    );
  }
  if (given.metric !== undefined) {
    if ((above === undefined) === (below === undefined)) return fault('a metric needs above or below, and not both');
    return {
      kind: 'metric',
      metric: given.metric,
      direction: above === undefined ? 'below' : 'above',
      limit: above ?? below ?? 0,
    };
  }
  if (above !== undefined || below !== undefined) return fault('above and below belong to a metric');
  if (given.status !== undefined) return { kind: 'status', status: given.status };
  if (given.diskFullWithin !== undefined) return { kind: 'diskFull', withinMs: given.diskFullWithin };
  if (given.skew !== undefined) return { kind: 'skew', limitMs: given.skew };
  if (given.flapping !== undefined) return { kind: 'flapping', reconnectsPerHour: given.flapping };
  return { kind: given.clone ? 'clone' : 'tokenProblem' };
});

/** Names of rules and receivers. */
export const alertNameSchema = z
  .string()
  .regex(/^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$/, 'a name is 1 to 63 letters, digits, dots, dashes and underscores');

const selectorText = z.string().superRefine((text, context) => {
  try {
    parseSelector(text);
  } catch (error) {
    context.addIssue({ code: 'custom', message: error instanceof Error ? error.message : 'not a selector' });
  }
});

export const alertRuleSchema = z
  .strictObject({
    name: alertNameSchema,
    when: alertConditionSchema,
    for: durationSchema.default(0),
    clearFor: durationSchema.optional(),
    /** A selector, or labels that a node must have. */
    on: z.union([selectorText, labelsSchema.transform(selectorOfLabels)]).optional(),
    severity: z.enum(SEVERITIES).default('warning'),
    notify: z.array(alertNameSchema).optional(),
  })
  .transform(({ for: forMs, clearFor, on, notify, ...rest }) => ({
    ...rest,
    forMs,
    clearForMs: clearFor ?? (rest.when.kind === 'metric' || rest.when.kind === 'skew' ? FIGURE_CLEAR_MS : 0),
    /** Selector of the nodes that it watches; null for all. */
    on: on ?? null,
    /** Names of receivers; null for all there are. */
    notify: notify ?? null,
  }));
export type AlertRule = Readonly<z.output<typeof alertRuleSchema>>;

function selectorOfLabels(labels: Readonly<Record<string, string>>): string {
  const terms = Object.entries(labels).map(([key, value]) => `@${key}=${value}`);
  return terms.length === 0 ? '@all' : terms.join('&');
}
