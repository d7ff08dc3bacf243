/** Starts a gateway in a home: lock, log, config, then the gateway itself. */
import { existsSync } from 'node:fs';
import { formatAddress } from '../shared/address.ts';
import { systemClock } from '../shared/clock.ts';
import { readConfigFile } from '../shared/config.ts';
import { requireDescriptors } from '../shared/descriptors.ts';
import { FleetError } from '../shared/errors.ts';
import { configPath, gatewayPaths } from '../shared/home.ts';
import { claimForMachine } from '../shared/home-machine.ts';
import { closeAll, startUnlessAborted } from '../shared/lifecycle.ts';
import { openLog } from '../shared/log.ts';
import type { Logger } from '../shared/logger.ts';
import { closeInheritedFiles, loginEnvironment, ownAccount } from '../shared/login-environment.ts';
import { assertOwnHome, assertPrivateContents, ensurePrivateFolder } from '../shared/private-file.ts';
import { acquireProcessLock } from '../shared/sqlite.ts';
import { type GatewayConfig, resolveGatewayConfig } from './config.ts';
import { Gateway } from './gateway.ts';

export interface StartGatewayOptions {
  home: string;
  configFile: string | undefined;
  flags: { listen?: string; api?: string; advertise?: string; logLevel?: string };
  /** Take over a home that another machine has used. */
  adoptHome?: boolean;
  /** Start with an empty database although there are keys. */
  newDatabase?: boolean;
  /** Receives readable log lines. */
  console: { write(text: string): unknown } | undefined;
  /** TZ of this process: the default time zone of schedules. */
  tz?: string | undefined;
  /** Registers a listener for the error that is about to crash this process, so that the log has it. */
  onCrash(listener: (error: unknown) => void): void;
  /** Aborts the start. */
  signal: AbortSignal;
}

export interface RunningGateway {
  readyLine: string;
  info: object;
  /** Resolves when the API was asked to stop the gateway. */
  readonly ended: Promise<FleetError | undefined>;
  /** Reloads the configuration (SIGHUP); the log and the gateway's status show the result. */
  reload(): void;
  close(): Promise<void>;
}

/** Resolves when nodes and people can connect. @throws FleetError `already_running`, `config_invalid`, `home_insecure`, `storage_failed`, `conflict`. */
export async function startGateway(options: StartGatewayOptions): Promise<RunningGateway> {
  const { home, configFile, flags, signal, newDatabase = false, adoptHome = false } = options;
  const paths = gatewayPaths(home);
  const file = configFile ?? configPath(home);
  const readConfig = (required: boolean): GatewayConfig =>
    resolveGatewayConfig(readConfigFile(file, required).gateway, flags, file);
  requireDescriptors('a gateway');
  const hadFile = existsSync(file);
  const config = readConfig(configFile !== undefined);
  assertOwnHome(home);
  ensurePrivateFolder(home);
  ensurePrivateFolder(paths.folder);
  assertPrivateContents(paths.folder);
  claimForMachine({
    file: paths.machine,
    what: `the gateway of ${home}`,
    adopt: adoptHome,
    instead: 'Never run it on both: nodes would connect to either of them.',
  });
  const lock = acquireProcessLock(paths.lock, 'a gateway of this home', 'Stop it first: fleet gateway down');
  const log = openLog({ file: paths.log, level: config.logLevel, console: options.console });
  options.onCrash((error) => log.logger.error({ err: error }, 'the process crashed'));
  const { promise: ended, resolve: end } = Promise.withResolvers<FleetError | undefined>();
  const gateway = new Gateway(config, {
    paths,
    clock: systemClock,
    logger: log.logger,
    random: Math.random,
    // If there was a file, it must exist: an editor's mistake must not remove all alert receivers.
    readConfig: () => readConfig(hadFile || configFile !== undefined),
    alertEnv: loginEnvironment(ownAccount()),
    tz: options.tz,
    newDatabase,
    onShutdownAsked: () => end(undefined),
  });
  const close = (...last: (() => void)[]): Promise<void> =>
    closeAll(
      () => gateway.close(),
      ...last,
      () => log.close(),
      () => lock.release(),
    );
  try {
    const view = await startUnlessAborted(gateway, signal);
    // Only now: the config file may be an inherited descriptor.
    closeInheritedFiles();
    return {
      readyLine: `gateway ready: ssh ${formatAddress(view.listen)}, host key ${view.hostKeyFingerprint}`,
      info: view,
      ended,
      reload: () => void gateway.reload().catch((error: unknown) => logFailedReload(log.logger, error)),
      close: () => close(() => log.logger.info({}, 'gateway stopped')),
    };
  } catch (error) {
    // The gateway has closed itself and logged what failed.
    await close().catch(() => {});
    throw error;
  }
}

/** A wrong file is logged by the reload. */
function logFailedReload(logger: Logger, error: unknown): void {
  if (error instanceof FleetError && error.code === 'config_invalid') return;
  logger.error({ err: error }, 'could not reload the configuration');
}
