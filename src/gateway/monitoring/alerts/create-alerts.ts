/** Alerts out of the gateway's configuration. */
import { randomBytes } from 'node:crypto';
import { FLEET_VERSION } from '../../../protocol/version.ts';
import { type GatewayConfig, offlineAfterMs } from '../../config.ts';
import { alertSettingsOf } from './alert-settings.ts';
import { Alerts, type AlertsOptions } from './alerts.ts';

export type AlertSources = Pick<
  AlertsOptions,
  'store' | 'ages' | 'monitor' | 'epochs' | 'clock' | 'logger' | 'random' | 'env'
>;

export function createAlerts(config: GatewayConfig, sources: AlertSources): Alerts {
  return new Alerts({
    ...sources,
    randomBytes,
    settings: alertSettingsOf(config, config.thresholds),
    heartbeatIntervalMs: config.heartbeatInterval,
    settlingMs: offlineAfterMs(config),
    userAgent: `fleet/${FLEET_VERSION}`,
  });
}
