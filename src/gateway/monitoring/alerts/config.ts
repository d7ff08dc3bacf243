/** `gateway.alerts` of the configuration: rules and receivers, checked against each other; and the built-in rules. */
import { z } from 'zod';
import { labelsSchema } from '../../../domain/names.ts';
import { parseSelector } from '../../../domain/selector.ts';
import { SEVERITIES } from '../../../protocol/alerts.ts';
import { durationSchema, durationUpTo } from '../../../shared/config.ts';
import { alertConditionSchema, defaultClearForMs } from './conditions.ts';
import { type AlertReceiver, alertNameSchema, alertReceiverSchema } from './receivers.ts';

/** Nobody would read more, and each is evaluated for each node. */
const MAX_RULES = 100;
const MAX_RECEIVERS = 50;
/** Two evaluations of all nodes, ms: nodes that fail together are found in more than one. */
const GROUP_WAIT_MS = 30_000;

const selectorText = z.string().superRefine((text, context) => {
  try {
    parseSelector(text);
  } catch (error) {
    context.addIssue({ code: 'custom', message: error instanceof Error ? error.message : 'not a selector' });
  }
});

const alertRuleSchema = z
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
  .transform(({ for: forMs, clearFor, on = null, notify = null, ...rest }) => ({
    ...rest,
    forMs,
    clearForMs: clearFor ?? defaultClearForMs(rest.when),
    /** Selector of the nodes that the rule covers; null for all. */
    on,
    /** Names of receivers; null for all. */
    notify,
  }));
export type AlertRule = Readonly<z.output<typeof alertRuleSchema>>;

export const alertsConfigSchema = z
  .strictObject({
    /** Default: the built-in rules; an empty list for none. */
    rules: z.array(alertRuleSchema).max(MAX_RULES).optional(),
    notify: z.array(alertReceiverSchema).max(MAX_RECEIVERS).default([]),
    /** Events of one rule within this time after the first go into one message; 0 for a message each. */
    groupWait: durationUpTo('1h').default(GROUP_WAIT_MS),
  })
  .superRefine(({ rules = [], notify }, context) => {
    const fault = (path: (string | number)[], message: string): void =>
      context.addIssue({ code: 'custom', path, message });
    for (const [list, entries] of Object.entries({ rules, notify })) {
      entries.forEach(({ name }, index) => {
        const isFirst = entries.findIndex((other) => other.name === name) === index;
        if (!isFirst) fault([list, index, 'name'], `the name ${name} is already used`);
      });
    }
    rules.forEach((rule, index) => {
      for (const name of rule.notify ?? []) {
        if (notify.some((receiver) => receiver.name === name)) continue;
        fault(['rules', index, 'notify'], `there is no receiver ${name} under gateway.alerts.notify`);
      }
    });
  })
  .prefault({});

/** What alerts do, which may change while the gateway runs. */
export interface AlertSettings {
  rules: readonly AlertRule[];
  receivers: readonly AlertReceiver[];
  groupWaitMs: number;
}

/** Limits of `gateway.thresholds` that the built-in rules follow. One that is off is infinite, and has no rule. */
interface BuiltInLimits {
  memUsedPct: number;
  diskUsedPct: number;
  /** ms. */
  skew: number;
}

export function alertSettingsOf(alerts: z.output<typeof alertsConfigSchema>, limits: BuiltInLimits): AlertSettings {
  return { rules: alerts.rules ?? builtInRules(limits), receivers: alerts.notify, groupWaitMs: alerts.groupWait };
}

/** What nearly every operator wants to know. */
export function builtInRules({ memUsedPct, diskUsedPct, skew }: BuiltInLimits): AlertRule[] {
  const rules: z.input<typeof alertRuleSchema>[] = [
    { name: 'offline', severity: 'critical', for: '5m', when: { status: 'offline' } },
    { name: 'error', severity: 'critical', for: '2m', when: { status: 'error' } },
    { name: 'disk', for: '5m', when: { metric: 'diskUsedPct', above: diskUsedPct } },
    { name: 'disk-full-soon', when: { diskFullWithin: '24h' } },
    { name: 'memory', for: '10m', when: { metric: 'memUsedPct', above: memUsedPct } },
    { name: 'clock', for: '5m', when: { skew: `${Math.max(1, skew)}ms` } },
    { name: 'flapping', when: { flapping: 10 } },
    { name: 'clone', severity: 'critical', when: { clone: true } },
    { name: 'token', for: '2m', when: { tokenProblem: true } },
  ];
  const limits = { disk: diskUsedPct, memory: memUsedPct, clock: skew } as Record<string, number>;
  return rules.filter(({ name }) => Number.isFinite(limits[name] ?? 0)).map((rule) => alertRuleSchema.parse(rule));
}

function selectorOfLabels(labels: Readonly<Record<string, string>>): string {
  const terms = Object.entries(labels).map(([key, value]) => `@${key}=${value}`);
  return terms.length === 0 ? '@all' : terms.join('&');
}
