/** The node's parts, each put together from those before it; `node.ts` says in which order they start. */
import os from 'node:os';
import { agentCapability } from '../domain/vocabulary.ts';
import { boundFaults, type Heartbeat } from '../protocol/heartbeat.ts';
import type { NodeFacts } from '../protocol/node-messages.ts';
import type { InviteCode } from '../protocol/pairing.ts';
import type { RunSpec } from '../protocol/run-spec.ts';
import { FLEET_VERSION } from '../protocol/version.ts';
import type { Address } from '../shared/address.ts';
import type { Clock } from '../shared/clock.ts';
import { watchDescriptors } from '../shared/descriptors.ts';
import { FleetError } from '../shared/errors.ts';
import type { NodePaths } from '../shared/home.ts';
import { hashedMachineId } from '../shared/home-machine.ts';
import { StreamAcceptor } from '../shared/http/streams.ts';
import type { Logger } from '../shared/logger.ts';
import { loginEnvironment, loginShell, ownAccount } from '../shared/login-environment.ts';
import { createNodeApi } from './api/node-api.ts';
import type { NodeConfig } from './config.ts';
import { createMetrics } from './metrics/metrics.ts';
import { createReadProcesses } from './metrics/processes.ts';
import { POLICY_KINDS, type Policy } from './policy/policy.ts';
import type { AgentConfig } from './runner/agents.ts';
import { Runner } from './runner/runner.ts';
import { Attempts } from './tunnel/attempt.ts';
import type { GatewayClock } from './tunnel/gateway-client.ts';
import { KeyedConnector, NodeKeys } from './tunnel/keyed-connector.ts';
import { NodeStateFile } from './tunnel/node-state.ts';
import { Tunnel } from './tunnel/tunnel.ts';

export interface NodeOptions {
  profile: string;
  address: Address;
  invite: InviteCode | undefined;
  /** The name that the node asks for; `nameRequired` if a person chose it. */
  name: string;
  nameRequired: boolean;
  config: NodeConfig;
  policy: Policy;
  paths: NodePaths;
  clock: Clock;
  logger: Logger;
  random: () => number;
  /** The shim's script. */
  shimEntry: string;
  onPending(code: string): void;
  onShutdownAsked(): void;
}

/** Runs, their journal and their logs; `gatewayClock` tells their times. */
export function createRunner(options: NodeOptions, gatewayClock: GatewayClock): Runner {
  const { paths, config, clock, logger, shimEntry } = options;
  const account = ownAccount();
  return new Runner({
    folder: paths.spool,
    shell: config.shell ?? loginShell(account),
    killGraceMs: config.killGrace,
    now: () => gatewayClock.now(),
    clock,
    logger,
    baseEnv: { ...loginEnvironment(account), ...config.env },
    addedEnv: config.env,
    homeFolder: account.home,
    maxSpoolBytes: config.maxSpoolBytes,
    maxOutputBytes: config.maxOutputBytes,
    retentionMs: config.retention,
    agents: config.agents,
    shim: { entry: shimEntry, socket: paths.shimSocket, logFile: paths.shimLog },
  });
}

/** Reads who this node is. @throws FleetError `home_insecure`, `config_invalid`, `storage_failed`. */
export function openIdentity({ paths, profile }: NodeOptions) {
  const keys = new NodeKeys({ file: paths.key, nextFile: paths.nextKey, comment: `fleet node ${profile}` });
  return { keys, state: new NodeStateFile(paths.state) };
}

/** Everything else. The runner has been started. */
export function createParts(
  options: NodeOptions,
  { keys, state }: ReturnType<typeof openIdentity>,
  runner: Runner,
  gatewayClock: GatewayClock,
) {
  const { config, policy, clock, logger } = options;
  const connector = new KeyedConnector({ keys, state, logger });
  const descriptors = watchDescriptors(options);
  const metrics = createMetrics({ clock, logger });
  const api = createNodeApi({
    runner,
    pairing: () => state.current?.pairing,
    gatewayNow: () => gatewayClock.now(),
    policy,
    readProcesses: createReadProcesses({ clock, logger }),
    logger,
  });
  const acceptor = new StreamAcceptor(api.server);
  const faults = (): string[] => [...runner.faults(), ...policy.faults(), ...descriptors.faults];
  const sample = async (rttMs: number | null, lostKeepalives: number): Promise<Heartbeat> => ({
    ...(await metrics.sample()),
    runsActive: runner.active,
    rttMs,
    tunnel: { lostKeepalives },
    faults: boundFaults(faults()),
    accepting: runner.faults().length === 0,
    policy: policy.view !== null,
  });
  let rttMs: number | null = null;
  const attempts = new Attempts(options.invite, {
    ...options,
    keys,
    connector,
    state,
    labels: config.labels,
    facts: readMachineFacts(config.agents, policy.view?.kinds ?? POLICY_KINDS),
    journal: runner.journalId,
    keepaliveIntervalMs: config.keepaliveInterval,
    keepaliveCountMax: config.keepaliveCountMax,
    gatewayClock,
    serveApi: (channel) => acceptor.accept(channel),
    sample,
    onRoundTrip: (ms) => {
      rttMs = ms;
    },
  });
  const tunnel = new Tunnel({ ...options, attempt: (signal) => attempts.run(signal) });
  return {
    runner,
    gatewayClock,
    state,
    connector,
    descriptors,
    metrics,
    api,
    attempts,
    tunnel,
    faults,
    rttMs: () => rttMs,
  };
}

export type NodeParts = ReturnType<typeof createParts>;

/** Has the gateway forget this node. @throws FleetError `gateway_unreachable`. */
export async function leave({ tunnel, state }: NodeParts, logger: Logger): Promise<void> {
  const { current } = tunnel;
  if (current === undefined) {
    throw new FleetError('gateway_unreachable', 'the gateway cannot be notified: the tunnel is down', {
      hint: 'Stop the node without --forget, then run on the gateway: fleet nodes rm NAME',
    });
  }
  await current.client.leave();
  // At once: otherwise it reconnects as a stranger that asks to be let in.
  void tunnel.close();
  logger.warn({ name: state.current?.pairing?.name }, 'this node has left its gateway');
  state.forgetPairing();
}

/** Facts about this machine for the gateway. `kinds` are those that the policy allows. */
export function readMachineFacts(
  agents: Readonly<Record<string, Pick<AgentConfig, 'maxParallel'>>>,
  kinds: readonly RunSpec['kind'][],
): NodeFacts {
  const agentLimits: Record<string, number> = {};
  for (const [name, { maxParallel }] of Object.entries(agents)) if (maxParallel) agentLimits[name] = maxParallel;
  const machineId = hashedMachineId();
  return {
    hostname: os.hostname().slice(0, 255),
    os: process.platform,
    osRelease: os.release().slice(0, 255),
    arch: process.arch,
    version: FLEET_VERSION,
    // Until 1.0, for older gateways.
    agentVersion: FLEET_VERSION,
    ...(machineId !== undefined && { machineId }),
    capabilities: kinds.flatMap((kind) => (kind === 'shell' ? ['shell'] : Object.keys(agents).map(agentCapability))),
    ...(Object.keys(agentLimits).length > 0 && { agentLimits }),
  };
}
