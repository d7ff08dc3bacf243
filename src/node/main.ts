/** Starts a node in a home: config, profile, lock, log, then the node itself. */
import os from 'node:os';
import { fileURLToPath } from 'node:url';
import { sanitizeName } from '../domain/vocabulary.ts';
import { parseInviteCode } from '../protocol/pairing.ts';
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
import { ownAccount } from '../shared/login-environment.ts';
import { assertOwnHome, assertPrivateContents, ensurePrivateFolder } from '../shared/private-file.ts';
import { readOrEmpty } from '../shared/read-file.ts';
import { acquireProcessLock } from '../shared/sqlite.ts';
import { type NodeConfig, resolveNodeConfig } from './config.ts';
import { FleetNode } from './node.ts';
import { Policy, requirePolicy } from './policy/policy.ts';
import { type RunTool, runTool } from './process/run-tool.ts';
import { chooseProfile } from './profiles.ts';
import { NodeStateFile } from './tunnel/node-state.ts';

export interface StartNodeOptions {
  home: string;
  configFile: string | undefined;
  flags: { gateway?: string; code?: string; name?: string; labels?: Record<string, string> };
  console: { write(text: string): unknown } | undefined;
  /** Take over a home that another machine has used. */
  adoptHome?: boolean;
  /** Registers a listener that logs the error which is about to end this process. */
  onCrash(listener: (error: unknown) => void): void;
  /** The node waits for an operator's approval; the person should compare the code. */
  onPending(info: { code: string; gateway: string; name: string }): void;
  /** Called before the start, which may take long. */
  onBegun(node: Pick<FleetNode, 'reconnect' | 'trouble'>): void;
  /** Aborts the start. */
  signal: AbortSignal;
}

export interface RunningNode {
  /** A warning for the person who starts it. */
  notice: string | undefined;
  readyLine: string;
  info: object;
  /** Resolves with the reason when the gateway has refused the node permanently, without one after a shutdown request. */
  readonly ended: Promise<FleetError | undefined>;
  reconnect(): void;
  close(): Promise<void>;
}

const UNLIMITED_ROOT =
  'this node runs as root and has no policy: operators of its gateway can run any command as root here. Run it as another user, or give it a policy (docs/policy.md)';

/** Resolves when the first heartbeat was accepted. @throws FleetError for whatever prevents that permanently. */
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
    instead: 'To make this machine a separate node: fleet node up --name NAME --gateway HOST --code CODE',
  });
  const lock = acquireProcessLock(
    paths.lock,
    `the node ${profile}`,
    `Stop it first: fleet node down --name ${profile}`,
  );
  const address = config.gateway ?? new NodeStateFile(paths.state).current?.gateway;
  if (address === undefined) {
    lock.release();
    throw new FleetError('usage', 'no gateway given', { hint: 'Name it: fleet node up --gateway HOST' });
  }
  const log = openLog({ file: paths.log, level: config.logLevel, console: options.console });
  options.onCrash((error) => log.logger.error({ err: error }, 'the process crashed'));
  const shutdown = Promise.withResolvers<undefined>();
  const name = config.name ?? sanitizeName(os.hostname());
  const account = ownAccount();
  const node = new FleetNode({
    profile,
    address,
    invite,
    name,
    nameRequired: config.name !== undefined,
    config,
    policy: new Policy({
      initial: config.policy,
      read: () => (config.policy === undefined ? readConfig().policy : requirePolicy(readConfig().policy)),
      ownUser: account.name,
      homeFolder: account.home,
      logger: log.logger,
    }),
    paths,
    clock: systemClock,
    logger: log.logger,
    random: Math.random,
    shimEntry: shimEntry(),
    onPending: (pendingCode) => options.onPending({ code: pendingCode, gateway: formatAddress(address), name }),
    onShutdownAsked: () => shutdown.resolve(undefined),
  });
  options.onBegun(node);
  const isUnlimitedRoot = process.geteuid?.() === 0 && config.policy === undefined;
  if (isUnlimitedRoot) log.logger.warn({}, UNLIMITED_ROOT);
  // Not awaited by the start, because the service manager may not answer; only the log stays open for it.
  const cgroups = readOrEmpty('/proc/self/cgroup');
  const warned = warnOfKillMode(cgroups, runTool).then((warning) => warning && log.logger.warn({}, warning));
  const close = (): Promise<void> =>
    closeAll(
      () => node.close(),
      () => warned,
      () => log.logger.info({}, 'node stopped'),
      () => log.close(),
      () => lock.release(),
    );
  try {
    const started = startUnlessAborted(node, signal).then(() => true);
    if (!(await Promise.race([started, shutdown.promise]))) {
      started.catch(() => {});
      throw new FleetError('not_running', 'the node was stopped before it was online');
    }
  } catch (error) {
    // The node has closed what it had opened, and logged failures.
    await close().catch(() => {});
    throw error;
  }
  const status = node.status();
  return {
    notice: isUnlimitedRoot ? UNLIMITED_ROOT : undefined,
    readyLine: `${status.name} is online: gateway ${status.gateway}, tunnel up in ${formatDuration(node.connectMs)}`,
    info: status,
    ended: Promise.race([shutdown.promise, node.ended]),
    reconnect: () => node.reconnect(),
    close,
  };
}

/** Beside this file, as a bundle or as source. */
function shimEntry(): string {
  return fileURLToPath(new URL(import.meta.url.endsWith('.ts') ? './shim/main.ts' : './shim.mjs', import.meta.url));
}

/** `mixed` sends SIGTERM to the node only, but then SIGKILL to everything. */
const ENDS_COMMANDS = /^(control-group|mixed)$/;

/**
 * Warns if stopping this process's systemd unit would end running commands, which should outlive the node. systemd.kill(5)
 * @param cgroups Content of /proc/self/cgroup.
 */
export async function warnOfKillMode(cgroups: string, tool: RunTool): Promise<string | undefined> {
  // Beside version 1 hierarchies, systemd's own counts.
  const lines = cgroups.split('\n');
  const line = lines.find((each) => each.includes(':name=systemd:')) ?? lines.find((each) => each.startsWith('0::'));
  const path = line?.split(':').slice(2).join(':') ?? '';
  const unit = path.split('/').findLast((name) => name.endsWith('.service'));
  if (unit === undefined || /^user@\d+\.service$/.test(unit)) return undefined;
  const manager = /\/user@\d+\.service\//.test(path) ? ['--user'] : [];
  const { exitCode, stdout } = await tool('systemctl', [...manager, 'show', '--property=KillMode', '--value', unit]);
  const mode = stdout.trim();
  if (exitCode !== 0 || !ENDS_COMMANDS.test(mode)) return undefined;
  return `stopping or restarting ${unit} would end all running commands (KillMode=${mode}); set KillMode=process in its [Service] section`;
}
