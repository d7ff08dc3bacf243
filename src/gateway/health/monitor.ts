/** Takes heartbeats in, keeps them, and says how each node is. */
import { fullestDiskPct, type Heartbeat, heartbeatSchema, memUsedPct } from '../../protocol/heartbeat.ts';
import type { NodeStatus } from '../../protocol/node-status.ts';
import type { Clock, Timer } from '../../shared/clock.ts';
import type { Logger } from '../../shared/logger.ts';
import { type ConnectEpochs, describeSuspicion } from '../identity/connect-epochs.ts';
import type { Session, Sessions } from '../sessions.ts';
import type { NodeRecord } from '../store/nodes-table.ts';
import type { Store } from '../store/store.ts';
import { clockSkewMs, type DerivedStatus, deriveStatus, type HealthThresholds } from './derive-status.ts';

/** Between two looks for heartbeats that are too old, ms. */
const PRUNE_INTERVAL_MS = 60_000;
/** Rows deleted at once, so that no reader or writer waits for it. */
const PRUNE_ROWS = 2_000;
/** Pause when there was more to delete, ms: a large fleet beats faster than one batch a minute can delete. */
const PRUNE_PAUSE_MS = 100;

export interface LatestHeartbeat {
  /** When the gateway received it, ms. */
  at: number;
  skewMs: number | null;
  beat: Heartbeat;
}

export interface NodeHealth extends DerivedStatus {
  status: NodeStatus;
  latest: LatestHeartbeat | undefined;
}

export interface HealthMonitorOptions {
  store: Store;
  sessions: Sessions;
  epochs: Pick<ConnectEpochs, 'suspicionOf'>;
  clock: Clock;
  logger: Logger;
  thresholds: HealthThresholds;
  /** Raw heartbeats are kept so long, ms. */
  retentionMs: number;
}

export class HealthMonitor {
  readonly #options: HealthMonitorOptions;
  readonly #latest = new Map<string, LatestHeartbeat | undefined>();
  #pruneTimer: Timer | undefined;
  #closed = false;

  constructor(options: HealthMonitorOptions) {
    this.#options = options;
  }

  start(): void {
    this.#pruneAfter(PRUNE_INTERVAL_MS);
  }

  close(): void {
    this.#closed = true;
    this.#pruneTimer?.cancel();
  }

  /** Stores one heartbeat; resolves once it is durable. */
  async accept(session: Session, beat: Heartbeat): Promise<void> {
    const { store, sessions, clock } = this.#options;
    const at = clock.now();
    const skewMs = Math.round(clockSkewMs(beat.at, at, beat.rttMs));
    this.#latest.set(session.nodeId, { at, skewMs, beat });
    await store.write(() => {
      store.health.insertHeartbeat({
        nodeId: session.nodeId,
        at,
        cpuPct: beat.cpuPct,
        load1: beat.load1,
        memUsedPct: memUsedPct(beat),
        diskUsedPct: fullestDiskPct(beat),
        rttMs: beat.rttMs,
        skewMs,
        sample: JSON.stringify(beat),
      });
      store.health.sessionSeen(session.row, at);
      store.nodes.setSeen(session.nodeId, at);
    });
    sessions.heartbeat(session, at);
  }

  /** How the node is now, and why. */
  healthOf(node: Pick<NodeRecord, 'id'>): NodeHealth {
    const { sessions, clock, thresholds } = this.#options;
    const now = clock.now();
    const session = sessions.get(node.id);
    const latest = this.#latestOf(node.id);
    const derived = deriveStatus(
      {
        sessionAgeMs: session === undefined ? null : now - session.connectedAt,
        heartbeat: latest?.beat ?? null,
        heartbeatAgeMs: latest === undefined ? null : now - latest.at,
        skewMs: latest?.skewMs ?? null,
      },
      thresholds,
    );
    const suspicion = this.#options.epochs.suspicionOf(node.id);
    if (suspicion === undefined) return { ...derived, latest };
    const status = derived.status === 'online' ? 'limited' : derived.status;
    return { status, reasons: [...derived.reasons, describeSuspicion(suspicion)], latest };
  }

  forget(nodeId: string): void {
    this.#latest.delete(nodeId);
  }

  /** From memory; after a start of the gateway, once from the store. */
  #latestOf(nodeId: string): LatestHeartbeat | undefined {
    if (this.#latest.has(nodeId)) return this.#latest.get(nodeId);
    const row = this.#options.store.health.lastHeartbeat(nodeId);
    const parsed = row === undefined ? undefined : heartbeatSchema.safeParse(JSON.parse(row.sample));
    const latest =
      row !== undefined && parsed?.success ? { at: row.at, skewMs: row.skewMs, beat: parsed.data } : undefined;
    this.#latest.set(nodeId, latest);
    return latest;
  }

  #pruneAfter(delayMs: number): void {
    if (this.#closed) return;
    this.#pruneTimer = this.#options.clock.after(delayMs, () => this.#prune(), { unref: true });
  }

  #prune(): void {
    const { store, clock, logger, retentionMs } = this.#options;
    store
      .write(() => store.health.pruneHeartbeats(clock.now() - retentionMs, PRUNE_ROWS))
      .then(
        (deleted) => this.#pruneAfter(deleted < PRUNE_ROWS ? PRUNE_INTERVAL_MS : PRUNE_PAUSE_MS),
        (error: unknown) => {
          logger.error({ err: error }, 'could not delete old heartbeats');
          this.#pruneAfter(PRUNE_INTERVAL_MS);
        },
      );
  }
}
