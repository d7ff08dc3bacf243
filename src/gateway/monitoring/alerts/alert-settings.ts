/** What of the configuration makes alerts: may become another while the gateway runs. */
import type { GatewayConfig } from '../../config.ts';
import type { AlertReceiver } from './alert-receiver.ts';
import type { AlertRule } from './alert-rule.ts';
import { type BuiltInLimits, builtInRules } from './built-in-rules.ts';

export interface AlertSettings {
  rules: readonly AlertRule[];
  receivers: readonly AlertReceiver[];
  /** What happens within this time of the first of its rule is told together, ms; with 0, each alert by itself and at once. */
  groupWaitMs: number;
}

/** `limits`: those at which nodes are called `limited` now, which the built-in rules follow. */
export function alertSettingsOf({ alerts }: Pick<GatewayConfig, 'alerts'>, limits: BuiltInLimits): AlertSettings {
  return { rules: alerts.rules ?? builtInRules(limits), receivers: alerts.notify, groupWaitMs: alerts.groupWait };
}
