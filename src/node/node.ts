/** The node: runner, metrics, tunnel and control socket, started in order and closed in reverse. */
import type { NodeStatusView } from '../protocol/node-control.ts';
import { FLEET_VERSION } from '../protocol/version.ts';
import { formatAddress } from '../shared/address.ts';
import { StepDetector } from '../shared/clock.ts';
import { isoTime } from '../shared/duration.ts';
import { FleetError } from '../shared/errors.ts';
import { Lifecycle } from '../shared/lifecycle.ts';
import { ControlApi } from './api/control-api.ts';
import { createParts, createRunner, leave, type NodeOptions, type NodeParts, openIdentity } from './parts.ts';
import { GatewayClock } from './tunnel/gateway-client.ts';

const RIVAL = 'another machine seems to use the key of this one: see `fleet nodes show` on the gateway';

export class FleetNode {
  readonly #options: NodeOptions;
  readonly #life: Lifecycle;
  readonly #startedAt: number;
  readonly #gatewayClock: GatewayClock;
  #parts: NodeParts | undefined;

  constructor(options: NodeOptions) {
    this.#options = options;
    this.#life = new Lifecycle((error) => options.logger.error({ err: error }, 'could not undo the start'));
    this.#startedAt = options.clock.now();
    this.#gatewayClock = new GatewayClock(options.clock);
  }

  /** Resolves when the gateway has accepted the first heartbeat. On failure everything that was opened is closed again. */
  start(): Promise<void> {
    return this.#life.start(() => this.#start());
  }

  /** Resolves with the reason when the gateway has refused this node for good, and without one when it was closed. */
  get ended(): Promise<FleetError | undefined> {
    return this.#parts?.tunnel.ended ?? Promise.resolve(undefined);
  }

  /** What keeps the node offline; undefined while it is online or waits for approval. */
  trouble(): FleetError | undefined {
    const { state, lastError } = this.#parts?.tunnel.status ?? { state: 'connecting', lastError: null };
    if (state === 'online' || state === 'pending') return undefined;
    const { facts, hint } = lastError ?? {};
    if (facts?.unresolved !== undefined)
      return new FleetError('gateway_unreachable', `cannot resolve ${facts.unresolved}`, { hint });
    const gateway = formatAddress(this.#options.address);
    return lastError ?? new FleetError('gateway_unreachable', `no answer from ${gateway} yet`);
  }

  /** Duration of the attempt that brought the tunnel up, ms. */
  get connectMs(): number {
    return this.#parts?.tunnel.status.connectMs ?? 0;
  }

  /** SIGHUP: the network or the policy may have changed. */
  reconnect(): void {
    this.#options.policy.reload();
    this.#parts?.tunnel.nudge();
  }

  /** Ends the tunnel, or the start; commands continue. Idempotent. */
  close(): Promise<void> {
    return this.#life.close();
  }

  async #start(): Promise<void> {
    const { clock, logger, paths } = this.#options;
    // Before the runner, which starts runs of a former process: a node that cannot read its key starts nothing.
    const identity = openIdentity(this.#options);
    const runner = createRunner(this.#options, this.#gatewayClock);
    // First: what the node says at connect includes the id of its journal.
    await runner.start();
    this.#life.opened(() => runner.close());
    const parts = createParts(this.#options, identity, runner, this.#gatewayClock);
    this.#parts = parts;
    const { api, metrics, tunnel, descriptors, attempts, state } = parts;
    const control = new ControlApi({
      socket: paths.socket,
      logger,
      status: () => this.status(),
      shutdown: () => this.#options.onShutdownAsked(),
      leave: () => leave(parts, logger),
      reconnect: () => tunnel.nudge(),
      rotateKey: () => parts.connector.rotateNow(tunnel.current),
    });
    const wake = new StepDetector(clock, (jumpMs) => {
      logger.info({ jumpMs }, 'the clock jumped: the machine slept, or its clock was set');
      tunnel.nudge();
    });
    await this.#life.open([
      { start: () => api.ready(), close: () => api.close() },
      { close: () => metrics.close() },
      control,
      wake,
      descriptors,
      { start: () => tunnel.start(), close: () => tunnel.close() },
    ]);
    attempts.invite = undefined;
    logger.info({ name: state.current?.pairing?.name }, 'node is online');
  }

  status(): NodeStatusView {
    const { profile, address, policy } = this.#options;
    const parts = this.#parts;
    const {
      state = 'connecting',
      pendingCode,
      lastError,
      retryAt,
      connectedSince,
      connects,
    } = parts?.tunnel.status ?? {};
    const pairing = parts?.state.current?.pairing;
    const rival = parts?.tunnel.current?.hello.isSuspected ? [RIVAL] : [];
    return {
      profile,
      name: pairing?.name ?? null,
      id: pairing?.id ?? null,
      gateway: formatAddress(address),
      state,
      pendingCode: pendingCode ?? null,
      lastError: lastError?.toJSON() ?? null,
      retryAt: isoTime(retryAt),
      connectedSince: isoTime(connectedSince),
      rttMs: state === 'online' ? (parts?.rttMs() ?? null) : null,
      skewMs: this.#gatewayClock.skewMs(),
      runsActive: parts?.runner.active ?? 0,
      policy: policy.view,
      faults: [...(parts?.faults() ?? policy.faults()), ...rival],
      pid: process.pid,
      version: FLEET_VERSION,
      startedAt: isoTime(this.#startedAt),
      connects: connects ?? 0,
    };
  }
}
