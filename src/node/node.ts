/** The node: wires the runner, the metrics and the tunnel together, and takes them down in order. */
import { boundFaults, type Heartbeat } from '../protocol/heartbeat.ts';
import type { NodeStatusView } from '../protocol/node-control.ts';
import type { InviteCode } from '../protocol/pairing.ts';
import { FLEET_VERSION } from '../protocol/version.ts';
import { type Address, formatAddress } from '../shared/address.ts';
import { type Clock, StepDetector } from '../shared/clock.ts';
import { watchDescriptors } from '../shared/descriptors.ts';
import { FleetError, toFleetError } from '../shared/errors.ts';
import type { FaultWatch } from '../shared/fault-watch.ts';
import type { NodePaths } from '../shared/home.ts';
import { StreamAcceptor } from '../shared/http/streams.ts';
import { Lifecycle } from '../shared/lifecycle.ts';
import type { Logger } from '../shared/logger.ts';
import { loginEnvironment, loginShell, ownAccount } from '../shared/login-environment.ts';
import { openControlApi } from './api/control-api.ts';
import { createNodeApi } from './api/node-api.ts';
import type { NodeConfig } from './config.ts';
import { readMachineFacts } from './machine-facts.ts';
import { createMetrics, type Metrics } from './metrics/metrics.ts';
import { createReadProcesses } from './metrics/processes.ts';
import type { PolicyFile } from './policy/policy.ts';
import { POLICY_KINDS } from './policy/policy.ts';
import { Runner } from './runner/runner.ts';
import { type ConnectOptions, forgotten, type Pending, renewToken } from './tunnel/connect-once.ts';
import { GatewayClock } from './tunnel/gateway-client.ts';
import { Heartbeats } from './tunnel/heartbeats.ts';
import { KeyedConnector, NodeKeys } from './tunnel/keyed-connector.ts';
import { NodeStateFile } from './tunnel/node-state.ts';
import { Tunnel, type UsableTunnel } from './tunnel/tunnel.ts';

interface AttemptOptions extends Omit<ConnectOptions, 'identity'> {
  keys: NodeKeys;
  connector: KeyedConnector;
}

interface NodeOptions {
  profile: string;
  address: Address;
  invite: InviteCode | undefined;
  /** What the node would like to be called; required when a person asked for it. */
  name: string;
  nameRequired: boolean;
  config: NodeConfig;
  policy: PolicyFile;
  paths: NodePaths;
  clock: Clock;
  logger: Logger;
  random: () => number;
  /** The shim's script. */
  shimEntry: string;
  onPending(code: string): void;
  onShutdownAsked(): void;
}

const RIVAL = 'another machine seems to use the key of this one: see `fleet nodes show` on the gateway';

export class FleetNode {
  readonly #options: NodeOptions;
  readonly #gatewayClock: GatewayClock;
  readonly #metrics: Metrics;
  readonly #startedAt: number;
  readonly #descriptors: FaultWatch;
  readonly #life: Lifecycle;
  #tunnel: Tunnel | undefined;
  #runner: Runner | undefined;
  #state: NodeStateFile | undefined;
  #rttMs: number | null = null;

  constructor(options: NodeOptions) {
    this.#options = options;
    this.#life = new Lifecycle((error) => options.logger.error({ err: error }, 'could not undo the start'));
    this.#gatewayClock = new GatewayClock(options.clock);
    this.#metrics = createMetrics({ clock: options.clock, logger: options.logger });
    this.#startedAt = options.clock.now();
    this.#descriptors = watchDescriptors(options);
  }

  /** Resolves when the gateway has accepted the first heartbeat. On failure everything that was begun is taken down again. */
  start(): Promise<void> {
    return this.#life.start(() => this.#start());
  }

  /** Resolves when the gateway has refused this node for good, with the reason; or when it was closed. */
  get ended(): Promise<FleetError | undefined> {
    return this.#tunnel?.ended ?? Promise.resolve(undefined);
  }

  /** What keeps the node from being online; undefined while it is, or waits for a person to let it in. */
  trouble(): FleetError | undefined {
    const { state, lastError } = this.#tunnel?.status ?? { state: 'connecting', lastError: null };
    if (state === 'online' || state === 'pending') return undefined;
    const gateway = formatAddress(this.#options.address);
    const { facts, hint } = lastError ?? {};
    if (facts?.unresolved !== undefined)
      return new FleetError('gateway_unreachable', `cannot resolve ${facts.unresolved}`, { hint });
    return lastError ?? new FleetError('gateway_unreachable', `no answer from ${gateway} yet`);
  }

  /** How long the attempt took by which the tunnel came up, ms. */
  get connectMs(): number {
    return this.#tunnel?.status.connectMs ?? 0;
  }

  /** SIGHUP: the network or the policy may have changed. */
  reconnect(): void {
    this.#options.policy.reload();
    this.#tunnel?.nudge();
  }

  /** Ends the tunnel and the process' share of the runs, or the start; the commands themselves go on. Idempotent. */
  close(): Promise<void> {
    return this.#life.close();
  }

  async #start(): Promise<void> {
    const { paths, config, policy, clock, logger, random, profile } = this.#options;
    const keys = new NodeKeys({ file: paths.key, nextFile: paths.nextKey, comment: `fleet node ${profile}` });
    const state = new NodeStateFile(paths.state);
    this.#state = state;
    const connector = new KeyedConnector({ keys, state, logger });
    const account = ownAccount();
    const runner = new Runner({
      folder: paths.spool,
      shell: config.shell ?? loginShell(account),
      killGraceMs: config.killGrace,
      now: () => this.#gatewayClock.now(),
      clock,
      logger,
      baseEnv: { ...loginEnvironment(account), ...config.env },
      addedEnv: config.env,
      homeFolder: account.home,
      maxSpoolBytes: config.maxSpoolBytes,
      maxOutputBytes: config.maxOutputBytes,
      retentionMs: config.retention,
      agents: config.agents,
      shim: { entry: this.#options.shimEntry, socket: paths.shimSocket, logFile: paths.shimLog },
    });
    this.#runner = runner;
    await runner.start();
    this.#life.opened(() => runner.close());

    const api = createNodeApi({
      runner,
      pairing: () => state.current?.pairing,
      gatewayNow: () => this.#gatewayClock.now(),
      policy,
      readProcesses: createReadProcesses({ clock, logger }),
      logger,
    });
    await api.ready();
    const acceptor = new StreamAcceptor(api.server);
    this.#life.opened(
      () => api.close(),
      () => this.#metrics.close(),
    );

    let { invite } = this.#options;
    const connectOptions: Omit<AttemptOptions, 'signal' | 'invite'> = {
      ...this.#options,
      keys,
      connector,
      state,
      labels: config.labels,
      facts: readMachineFacts(config.agents, policy.view?.kinds ?? POLICY_KINDS),
      journal: runner.journalId,
      keepaliveIntervalMs: config.keepaliveInterval,
      keepaliveCountMax: config.keepaliveCountMax,
      gatewayClock: this.#gatewayClock,
      serveApi: (channel) => acceptor.accept(channel),
    };
    const tunnel = new Tunnel({
      attempt: (signal) => this.#attempt({ ...connectOptions, invite, signal }),
      onPending: (code) => this.#options.onPending(code),
      clock,
      logger,
      random,
    });
    this.#tunnel = tunnel;
    const control = await openControlApi({
      socket: paths.socket,
      logger,
      status: () => this.status(),
      shutdown: () => this.#options.onShutdownAsked(),
      leave: () => this.#leave(state, tunnel),
      reconnect: () => tunnel.nudge(),
      rotateKey: () => connector.rotateNow(tunnel.current),
    });
    this.#life.opened(() => control.close());
    const wake = new StepDetector(clock, (jumpMs) => {
      logger.info({ jumpMs }, 'the clock jumped: the machine slept, or its clock was set');
      tunnel.nudge();
    });
    wake.start();
    this.#descriptors.start();
    this.#life.opened(
      () => this.#descriptors.close(),
      () => wake.close(),
      () => tunnel.close(),
    );
    await tunnel.start();
    // A code that may be used more than once must not bring a node back that was removed.
    invite = undefined;
    logger.info({ name: state.current?.pairing?.name }, 'node is online');
  }

  #renewing: Promise<void> | undefined;

  /**
   * A gateway that shows the pinned host key and does not know this node has lost its database, or has an old one: the node asks until
   * it is known or approved. One that says that the key was removed means it, unless somebody gave a new code.
   */
  async #attempt(options: AttemptOptions): Promise<UsableTunnel | Pending> {
    try {
      return await this.#open(options);
    } catch (error) {
      const { code } = toFleetError(error);
      const mayAsk = code === 'not_paired' || (code === 'key_revoked' && options.invite !== undefined);
      const { pairing } = options.state.current ?? {};
      if (!mayAsk || pairing === undefined) throw error;
      // As it was called, which need not be what its machine is called.
      const name = options.nameRequired ? options.name : pairing.name;
      const opened = await this.#open({ ...options, name, pairAgain: true });
      return 'pendingCode' in opened ? { ...opened, forgotten: forgotten() } : opened;
    }
  }

  async #open(options: AttemptOptions): Promise<UsableTunnel | Pending> {
    const opened = await options.connector.connect(options);
    if ('pendingCode' in opened) return opened;
    const { clock, logger, state } = options;
    let toldLost = 0;
    const takeLostKeepalives = (): number => {
      const lost = opened.connection.lostKeepalives - toldLost;
      toldLost += lost;
      return lost;
    };
    const heartbeats = new Heartbeats({
      tunnel: opened,
      clock,
      logger,
      sample: (rttMs) => this.#sample(rttMs, takeLostKeepalives()),
      beforeBeat: () => this.#renewInTime(options, opened),
      onAnswer: ({ name, rttMs, signingKeys }) => {
        this.#rttMs = rttMs;
        // An operator may rename the node while it is connected.
        if (state.current?.pairing?.name !== name) state.changePairing({ name }, logger);
        if (signingKeys !== undefined) state.changePairing({ signingKeys }, logger);
      },
    });
    const stop = (): void => {
      heartbeats.close();
      opened.client.close();
      opened.connection.close();
    };
    try {
      await heartbeats.start();
    } catch (error) {
      stop();
      throw error;
    }
    return { ...opened, stop, check: () => heartbeats.check() };
  }

  async #renewInTime(options: AttemptOptions, opened: Pick<UsableTunnel, 'client' | 'connection'>): Promise<void> {
    const pairing = options.state.current?.pairing;
    if (pairing === undefined || this.#gatewayClock.now() < (pairing.tokenIssuedAt + pairing.tokenExpiresAt) / 2)
      return;
    // A nudge brings a second heartbeat beside the regular one; the gateway bears few challenges at once.
    this.#renewing ??= renewToken(
      { ...options, identity: options.keys.current },
      opened.connection,
      opened.client,
    ).finally(() => {
      this.#renewing = undefined;
    });
    await this.#renewing;
  }

  async #sample(rttMs: number | null, lostKeepalives: number): Promise<Heartbeat> {
    const fromRunner = this.#runner?.faults() ?? [];
    return {
      ...(await this.#metrics.sample()),
      runsActive: this.#runner?.active ?? 0,
      rttMs,
      tunnel: { lostKeepalives },
      // What the gateway has told itself, it need not hear again.
      faults: boundFaults([...fromRunner, ...this.#options.policy.faults(), ...this.#descriptors.faults]),
      accepting: fromRunner.length === 0,
      policy: this.#options.policy.view !== null,
    };
  }

  #faults(): string[] {
    const fromGateway = this.#tunnel?.current?.hello.isSuspected ? [RIVAL] : [];
    return [
      ...(this.#runner?.faults() ?? []),
      ...this.#options.policy.faults(),
      ...this.#descriptors.faults,
      ...fromGateway,
    ];
  }

  async #leave(state: NodeStateFile, tunnel: Tunnel): Promise<void> {
    const { current } = tunnel;
    if (current === undefined) {
      throw new FleetError('gateway_unreachable', 'the gateway cannot be told now: the tunnel is down', {
        hint: 'End it here without --forget, and on the gateway: fleet nodes rm NAME',
      });
    }
    await current.client.leave();
    // Before it is cut and comes back as a stranger who asks to be let in.
    void tunnel.close();
    this.#options.logger.warn({ name: state.current?.pairing?.name }, 'this node has left its gateway');
    state.forgetPairing();
  }

  status(): NodeStatusView {
    const tunnel = this.#tunnel?.status;
    const pairing = this.#state?.current?.pairing;
    const online = tunnel?.state === 'online';
    return {
      profile: this.#options.profile,
      name: pairing?.name ?? null,
      id: pairing?.id ?? null,
      gateway: formatAddress(this.#options.address),
      state: tunnel?.state ?? 'connecting',
      pendingCode: tunnel?.pendingCode ?? null,
      lastError: tunnel?.lastError?.toJSON() ?? null,
      retryAt: isoOrNull(tunnel?.retryAt ?? null),
      connectedSince: isoOrNull(tunnel?.connectedSince ?? null),
      rttMs: online ? this.#rttMs : null,
      skewMs: this.#gatewayClock.skewMs(),
      runsActive: this.#runner?.active ?? 0,
      policy: this.#options.policy.view,
      faults: this.#faults(),
      pid: process.pid,
      version: FLEET_VERSION,
      startedAt: new Date(this.#startedAt).toISOString(),
      connects: tunnel?.connects ?? 0,
    };
  }
}

function isoOrNull(ms: number | null): string | null {
  return ms === null ? null : new Date(ms).toISOString();
}
