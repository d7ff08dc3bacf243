/** Starts a node in a home: profile, lock, log, config, then the node itself. */
import { readFile } from 'node:fs/promises';
import os from 'node:os';
import { fileURLToPath } from 'node:url';
import { parseInviteCode } from '../protocol/pairing.ts';
import { sanitizeName } from '../protocol/sanitize-name.ts';
import { formatAddress } from '../shared/address.ts';
import { systemClock } from '../shared/clock.ts';
import { readConfigFile } from '../shared/config.ts';
import { requireDescriptors } from '../shared/descriptors.ts';
import { formatDuration } from '../shared/duration.ts';
import { FleetError } from '../shared/errors.ts';
import { configPath, nodePaths, nodesFolder } from '../shared/home.ts';
import { claimForMachine } from '../shared/home-machine.ts';
import { closeAll, startUnlessAborted } from '../shared/lifecycle.ts';
import { openLog } from '../shared/log.ts';
import type { Logger } from '../shared/logger.ts';
import { ownAccount } from '../shared/login-environment.ts';
import { assertOwnHome, assertPrivateContents, ensurePrivateFolder } from '../shared/private-file.ts';
import { acquireProcessLock } from '../shared/sqlite.ts';
import { type NodeConfig, resolveNodeConfig } from './config.ts';
import { FleetNode } from './node.ts';
import { PolicyFile, requirePolicy } from './policy/policy.ts';
import { runTool } from './process/run-tool.ts';
import { chooseProfile } from './profiles.ts';
import { warnOfKillMode } from './service-unit.ts';
import { NodeStateFile } from './tunnel/node-state.ts';

export interface StartNodeOptions {
  home: string;
  configFile: string | undefined;
  flags: { gateway?: string; code?: string; name?: string; labels?: Record<string, string> };
  console: { write(text: string): unknown } | undefined;
  /** Take over a home that another machine has used. */
  adoptHome?: boolean;
  /** Registers a listener for the error that is about to end this process, so that the log tells it. */
  onCrash(listener: (error: unknown) => void): void;
  /** The gateway waits for an operator's approval; the person should compare the code. */
  onPending(info: { code: string; gateway: string; name: string }): void;
  /** Called at the beginning of the start, with what can be asked of the node already. */
  onBegun(node: Pick<FleetNode, 'reconnect' | 'trouble'>): void;
  /** Ends the start when it aborts: it may wait for the gateway for ever. */
  signal: AbortSignal;
}

export interface RunningNode {
  /** What a person should know about it. */
  notice: string | undefined;
  readyLine: string;
  info: object;
  /** Resolves when somebody asked for the end (undefined), or the gateway refused the node for good (the reason). */
  readonly ended: Promise<FleetError | undefined>;
  reconnect(): void;
  close(): Promise<void>;
}

const UNLIMITED_ROOT =
  'this node runs as root and has no policy: operators of its gateway can run any command as root here. Run it as another user, or give it a policy (docs/policy.md)';

/** Resolves when the first heartbeat was accepted. @throws FleetError for whatever keeps it from that for good. */
export async function startNode(options: StartNodeOptions): Promise<RunningNode> {
  const { home, configFile, flags, signal, adoptHome = false } = options;
  const file = configFile ?? configPath(home);
  const { code, ...overrides } = flags;
  const readConfig = (): NodeConfig =>
    resolveNodeConfig(readConfigFile(file, configFile !== undefined).node, overrides, file);
  const config = readConfig();
  const invite = code === undefined ? undefined : parseInviteCode(code);
  requireDescriptors('a node');
  assertOwnHome(home);
  const profile = chooseProfile(home, config.name, os.hostname());
  const paths = nodePaths(home, profile);
  for (const folder of [home, nodesFolder(home), paths.folder]) ensurePrivateFolder(folder);
  assertPrivateContents(paths.folder);
  claimForMachine({
    file: paths.machine,
    what: `the node ${profile} in ${home}`,
    adopt: adoptHome,
    instead: 'To make this machine a node of its own: fleet node up --name NAME --gateway HOST --code CODE',
  });
  const lock = acquireProcessLock(
    paths.lock,
    `the node ${profile}`,
    `Stop it first: fleet node down --name ${profile}`,
  );
  const address = config.gateway ?? new NodeStateFile(paths.state).current?.gateway;
  if (address === undefined) {
    lock.release();
    throw new FleetError('usage', 'no gateway is given', { hint: 'Say which: fleet node up --gateway HOST' });
  }
  const log = openLog({ file: paths.log, level: config.logLevel, console: options.console });
  options.onCrash((error) => log.logger.error({ err: error }, 'the process crashed'));
  const asked = Promise.withResolvers<undefined>();
  const name = config.name ?? sanitizeName(os.hostname());
  const account = ownAccount();
  const node = new FleetNode({
    profile,
    address,
    invite,
    name,
    nameRequired: config.name !== undefined,
    config,
    policy: new PolicyFile({
      initial: config.policy,
      read: () => (config.policy === undefined ? readConfig().policy : requirePolicy(readConfig().policy)),
      host: { ownUser: account.name, homeFolder: account.home },
      logger: log.logger,
    }),
    paths,
    clock: systemClock,
    logger: log.logger,
    random: Math.random,
    shimEntry: shimEntry(),
    onPending: (pendingCode) => options.onPending({ code: pendingCode, gateway: formatAddress(address), name }),
    onShutdownAsked: () => asked.resolve(undefined),
  });
  options.onBegun(node);
  const isUnlimitedRoot = process.geteuid?.() === 0 && config.policy === undefined;
  if (isUnlimitedRoot) log.logger.warn({}, UNLIMITED_ROOT);
  // Nobody waits for a service manager that does not answer, but the log stays open for it.
  const warned = warnOfSurroundings(log.logger);
  const close = (): Promise<void> =>
    closeAll(
      () => node.close(),
      () => warned,
      () => log.logger.info({}, 'node stopped'),
      () => log.close(),
      () => lock.release(),
    );
  const stopped = asked.promise.then(() => {
    throw new FleetError('not_running', 'the node was stopped before it was online');
  });
  stopped.catch(() => undefined);
  try {
    await Promise.race([startUnlessAborted(node, signal), stopped]);
  } catch (error) {
    // The node has taken itself down, and logged what that failed at.
    await close().catch(() => {});
    throw error;
  }
  const status = node.status();
  return {
    notice: isUnlimitedRoot ? UNLIMITED_ROOT : undefined,
    readyLine: `${status.name} is online: gateway ${status.gateway}, tunnel up in ${formatDuration(node.connectMs)}`,
    info: status,
    ended: Promise.race([asked.promise, node.ended]),
    reconnect: () => node.reconnect(),
    close,
  };
}

async function warnOfSurroundings(logger: Logger): Promise<void> {
  const cgroups = await readFile('/proc/self/cgroup', 'utf8').catch(() => '');
  const warning = await warnOfKillMode(cgroups, runTool);
  if (warning !== undefined) logger.warn({}, warning);
}

/** Next to this file: a bundle next to a bundle, or a source next to a source. */
function shimEntry(): string {
  return fileURLToPath(new URL(import.meta.url.endsWith('.ts') ? './shim/main.ts' : './shim.mjs', import.meta.url));
}
