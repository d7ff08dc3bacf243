/** Reloads the configuration of a running gateway: alerts change at once, everything else is reported as needing a restart. */
import { isDeepStrictEqual } from 'node:util';
import type { ConfigStateView, ReloadView } from '../protocol/views.ts';
import type { Clock } from '../shared/clock.ts';
import { isoTime } from '../shared/duration.ts';
import { toFleetError } from '../shared/errors.ts';
import type { Logger } from '../shared/logger.ts';
import type { AuditLog } from './audit/audit-log.ts';
import type { GatewayConfig } from './config.ts';
import type { Alerts } from './monitoring/alerts/alerts.ts';
import { alertSettingsOf } from './monitoring/alerts/config.ts';

/** Sections that can change at runtime. */
const RELOADABLE_SECTIONS = ['alerts'] as const;
/** Options with options of their own. */
const SECTIONS = ['alerts', 'ssh', 'thresholds'] as const satisfies readonly (keyof GatewayConfig)[];

interface ConfigReloadOptions {
  /** The configuration at the start. */
  config: GatewayConfig;
  /** Reads it again, flags included. @throws FleetError `config_invalid`. */
  read(): GatewayConfig;
  alerts: Pick<Alerts, 'use'>;
  audit: Pick<AuditLog, 'describe'>;
  clock: Clock;
  logger: Logger;
}

export class ConfigReload {
  readonly #options: ConfigReloadOptions;
  /** What is in force. */
  #current: GatewayConfig;
  #readAt: number;
  #fault: string | null = null;
  #restart: string[] = [];

  constructor(options: ConfigReloadOptions) {
    this.#options = options;
    this.#current = options.config;
    this.#readAt = options.clock.now();
  }

  /** For `fleet gateway status`. */
  get view(): ConfigStateView {
    return { readAt: isoTime(this.#readAt), fault: this.#fault, restartNeeded: [...this.#restart] };
  }

  /** A broken file changes nothing. @throws FleetError `config_invalid`, `storage_failed`. */
  async reload(): Promise<ReloadView> {
    const { config: started, read, alerts, audit, clock, logger } = this.#options;
    let config: GatewayConfig;
    try {
      config = read();
    } catch (error) {
      const { message } = toFleetError(error);
      this.#fault = message;
      logger.error({ reason: message }, 'could not read the configuration; the previous one stays in force');
      throw error;
    }
    const changed = changedOptions(this.#current, config).filter(isReloadable);
    const restartNeeded = changedOptions(started, config).filter((option) => !isReloadable(option));
    // `limited` keeps its limits until the next start.
    await alerts.use(alertSettingsOf(config.alerts, started.thresholds), () =>
      audit.describe('gateway.reload', { changed, restartNeeded }),
    );
    this.#current = config;
    this.#readAt = clock.now();
    this.#fault = null;
    this.#restart = restartNeeded;
    logger.info({ changed }, 'configuration read');
    if (this.#restart.length > 0) {
      logger.warn({ options: this.#restart }, 'some changed options take effect only after a restart of the gateway');
    }
    return { changed, restartNeeded: [...this.#restart] };
  }
}

/** Names of options that differ, such as `listen` or `alerts.notify`; never their values, which may be secrets. */
export function changedOptions(before: GatewayConfig, after: GatewayConfig): string[] {
  return differences(before, after).flatMap((option) => {
    const section = SECTIONS.find((name) => name === option);
    if (section === undefined) return [option];
    return differences(before[section], after[section]).map((name) => `${section}.${name}`);
  });
}

function differences(before: object, after: object): string[] {
  const one = new Map(Object.entries(before));
  const other = new Map(Object.entries(after));
  const names = new Set([...one.keys(), ...other.keys()]);
  return [...names].filter((name) => !isDeepStrictEqual(one.get(name), other.get(name)));
}

function isReloadable(option: string): boolean {
  return RELOADABLE_SECTIONS.some((section) => option.startsWith(`${section}.`));
}
