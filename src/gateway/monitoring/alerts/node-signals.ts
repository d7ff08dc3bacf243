/** What no heartbeat says about a node: that its disks will be full, that two machines use its key, that its token is refused. */
import type { ConnectEpochs } from '../../identity/connect-epochs.ts';
import type { HealthMonitor, NodeHealth } from '../judge/monitor.ts';
import type { NodeFacts } from './conditions.ts';
import type { AlertsStore } from './tables.ts';

/** Disks go into the history once an hour, so a forecast stays valid for a while, ms. */
const FORECAST_MS = 15 * 60_000;

export interface NodeSignalsOptions {
  store: Pick<AlertsStore, 'history'>;
  monitor: Pick<HealthMonitor, 'healthOf'>;
  epochs: Pick<ConnectEpochs, 'suspicionOf'>;
}

export class NodeSignals {
  readonly #options: NodeSignalsOptions;
  readonly #forecasts = new Map<string, { at: number; diskFull: NodeFacts['diskFull'] }>();
  readonly #tokenRefusedAt = new Map<string, number>();

  constructor(options: NodeSignalsOptions) {
    this.#options = options;
  }

  /** Notes that the gateway refused the token of the node at that time, ms. */
  tokenRefused(nodeId: string, at: number): void {
    this.#tokenRefusedAt.set(nodeId, at);
  }

  /** All that the gateway knows about the node now. */
  factsOf(nodeId: string, { status, reasons, link, latest }: NodeHealth, now: number): NodeFacts {
    return {
      status,
      reasons,
      link,
      latest: status === 'offline' ? undefined : latest,
      diskFull: this.#diskFull(nodeId, now),
      hasClone: this.#options.epochs.suspicionOf(nodeId) !== undefined,
      hasTokenProblem: this.#hasTokenProblem(nodeId),
    };
  }

  /** Forgets all other nodes. */
  retain(nodeIds: ReadonlySet<string>): void {
    for (const known of [this.#forecasts, this.#tokenRefusedAt]) {
      for (const nodeId of known.keys()) if (!nodeIds.has(nodeId)) known.delete(nodeId);
    }
  }

  #hasTokenProblem(nodeId: string): boolean {
    const refusedAt = this.#tokenRefusedAt.get(nodeId);
    if (refusedAt === undefined) return false;
    const acceptedAt = this.#options.monitor.healthOf({ id: nodeId }).latest?.at ?? Number.NEGATIVE_INFINITY;
    return refusedAt >= acceptedAt;
  }

  #diskFull(nodeId: string, now: number): NodeFacts['diskFull'] {
    const known = this.#forecasts.get(nodeId);
    // Not by comparison alone: the clock may have been set back.
    if (known !== undefined && Math.abs(now - known.at) < FORECAST_MS) return known.diskFull;
    const forecasts = this.#options.store.history.disks.forecastsOf([nodeId], now).get(nodeId) ?? [];
    const [first] = forecasts.sort((a, b) => a.fullAt - b.fullAt);
    const diskFull = first === undefined ? null : { mount: first.mount, fullAt: first.fullAt };
    this.#forecasts.set(nodeId, { at: now, diskFull });
    return diskFull;
  }
}
