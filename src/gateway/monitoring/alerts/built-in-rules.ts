/** The rules of a gateway whose configuration has none: what nearly everybody would want to know, at the limits of the status. */
import type { AlertCondition, AlertRule } from './alert-rule.ts';

const MINUTE_MS = 60_000;
const HOUR_MS = 60 * MINUTE_MS;

/** Limits of `gateway.thresholds`; one that is off is infinite, and has no rule. */
export interface BuiltInLimits {
  memUsedPct: number;
  diskUsedPct: number;
  /** ms. */
  skew: number;
}

export function builtInRules(limits: BuiltInLimits): AlertRule[] {
  const { memUsedPct, diskUsedPct, skew } = limits;
  const rules = [
    rule('offline', 'critical', 5 * MINUTE_MS, { kind: 'status', status: 'offline' }),
    rule('error', 'critical', 2 * MINUTE_MS, { kind: 'status', status: 'error' }),
    rule('disk', 'warning', 5 * MINUTE_MS, above('diskUsedPct', diskUsedPct), MINUTE_MS),
    rule('disk-full-soon', 'warning', 0, { kind: 'diskFull', withinMs: 24 * HOUR_MS }),
    rule('memory', 'warning', 10 * MINUTE_MS, above('memUsedPct', memUsedPct), MINUTE_MS),
    rule('clock', 'warning', 5 * MINUTE_MS, { kind: 'skew', limitMs: skew }, MINUTE_MS),
    rule('flapping', 'warning', 0, { kind: 'flapping', reconnectsPerHour: 10 }),
    rule('clone', 'critical', 0, { kind: 'clone' }),
    rule('token', 'warning', 2 * MINUTE_MS, { kind: 'tokenProblem' }),
  ];
  return rules.filter(({ when }) => Number.isFinite(limitOf(when)));
}

function rule(
  name: string,
  severity: AlertRule['severity'],
  forMs: number,
  when: AlertCondition,
  clearForMs = 0,
): AlertRule {
  return { name, when, forMs, clearForMs, severity, on: null, notify: null };
}

function above(metric: 'diskUsedPct' | 'memUsedPct', limit: number): AlertCondition {
  return { kind: 'metric', metric, direction: 'above', limit };
}

function limitOf(when: AlertCondition): number {
  return when.kind === 'metric' ? when.limit : when.kind === 'skew' ? when.limitMs : 0;
}
