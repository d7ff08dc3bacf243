/** Alerts out of the gateway's configuration. */
import { randomBytes } from 'node:crypto';
import { FLEET_VERSION } from '../../protocol/version.ts';
import { type GatewayConfig, offlineAfterMs } from '../config.ts';
import { Alerts, type AlertsOptions } from './alerts.ts';
import { builtInRules } from './built-in-rules.ts';

export type AlertSources = Pick<AlertsOptions, 'store' | 'monitor' | 'epochs' | 'clock' | 'logger' | 'random' | 'env'>;

export function createAlerts(config: GatewayConfig, sources: AlertSources): Alerts {
  return new Alerts({
    ...sources,
    randomBytes,
    rules: config.alerts.rules ?? builtInRules(config.thresholds),
    receivers: config.alerts.notify,
    groupWaitMs: config.alerts.groupWait,
    heartbeatIntervalMs: config.heartbeatInterval,
    settlingMs: offlineAfterMs(config),
    userAgent: `fleet/${FLEET_VERSION}`,
  });
}
