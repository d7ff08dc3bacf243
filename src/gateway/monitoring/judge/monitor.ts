/** Judges and stores heartbeats, and reports the health of each node. */
import { type Heartbeat, heartbeatSchema } from '../../../protocol/heartbeat.ts';
import type { Clock } from '../../../shared/clock.ts';
import { type ErrorCode, FleetError } from '../../../shared/errors.ts';
import type { Logger } from '../../../shared/logger.ts';
import { type ConnectEpochs, describeSuspicion } from '../../identity/connect-epochs.ts';
import type { NodeRecord } from '../../nodes/nodes-table.ts';
import type { Session, Sessions } from '../../nodes/sessions.ts';
import { figuresOf } from '../history/figures.ts';
import { HOUR_MS } from '../history/resolutions.ts';
import { type IncidentRow, type JudgeStore, parseSavedState, type SavedState } from './judge-store.ts';
import type { HealthThresholds } from './limits.ts';
import {
  linkAfterHeartbeat,
  linkAfterReconnect,
  linkScore,
  lostPct,
  machineScore,
  reconnectsPerHour,
} from './scores.ts';
import { clockSkewMs, type DerivedStatus, deriveStatus, judgeHeartbeat, statusOfState } from './status.ts';

/** Faults of the gateway's disk, for which no node is to blame. */
const DISK_FAULTS: ReadonlySet<ErrorCode> = new Set(['storage_failed', 'storage_busy', 'storage_corrupt']);

export interface LatestHeartbeat {
  /** When the gateway received it, ms. */
  at: number;
  skewMs: number | null;
  beat: Heartbeat;
}

export interface LinkHealth {
  /** 0 to 100; null if unknown. */
  score: number | null;
  /** Running mean of the round trips, ms. */
  meanRttMs: number | null;
  jitterMs: number | null;
  /** Of the keepalives and heartbeats of about the last hour, percent. */
  lostPct: number | null;
  reconnectsPerHour: number;
}

export interface NodeHealth extends DerivedStatus {
  latest: LatestHeartbeat | undefined;
  link: LinkHealth;
  /** 0 to 100, as of the last heartbeat; null before the first. */
  machineScore: number | null;
}

export interface HealthMonitorOptions {
  store: JudgeStore;
  sessions: Sessions;
  epochs: Pick<ConnectEpochs, 'suspicionOf'>;
  clock: Clock;
  logger: Logger;
  thresholds: HealthThresholds;
}

/** What is kept in memory of one node. */
interface Entry extends SavedState {
  latest: LatestHeartbeat | undefined;
  /** Arrival of the latest heartbeat on the monotonic clock. */
  beatAt: number | undefined;
  /** The last session counted in `link`. */
  session: Session | undefined;
  /** As stored. */
  incident: IncidentRow['status'] | null;
  /** The last hour in which disks were stored. */
  disksHour: number | undefined;
}

export class HealthMonitor {
  readonly #options: HealthMonitorOptions;
  readonly #entries = new Map<string, Entry>();
  /** Heartbeats that could not be stored since the last one that could, and why. */
  #unstored = 0;
  #unstoredWhy = '';

  constructor(options: HealthMonitorOptions) {
    this.#options = options;
  }

  /** Ends incidents of nodes that go offline, from now on. */
  start(): void {
    this.#options.sessions.onChange({ online: () => undefined, offline: ({ nodeId }) => this.#endIncident(nodeId) });
  }

  /**
   * Judges a heartbeat; resolves once it is durable. If the gateway's disk fails, only the history has a gap: a node that saw the error would
   * close its tunnel, although it can do nothing about it.
   */
  async accept(session: Session, beat: Heartbeat): Promise<void> {
    const { store, sessions, clock, thresholds } = this.#options;
    const at = clock.now();
    const skewMs = Math.round(clockSkewMs(beat.at, at, beat.rttMs));
    const entry = this.#entryOf(session.nodeId);
    if (entry.session !== session) {
      // The first session after the gateway's start is not a reconnect.
      if (entry.session !== undefined) entry.link = linkAfterReconnect(entry.link, at);
      entry.session = session;
    }
    const state = judgeHeartbeat(entry.state, { beat, skewMs }, thresholds, at);
    const lostKeepalives = beat.tunnel?.lostKeepalives ?? null;
    const link = linkAfterHeartbeat(entry.link, { rttMs: beat.rttMs, lostKeepalives }, at);
    entry.state = state;
    entry.link = link;
    entry.latest = { at, skewMs, beat };
    entry.beatAt = clock.monotonic();
    const figures = figuresOf({ beat, skewMs, jitterMs: link.jitterMs });
    const { incident: formerIncident, disksHour: formerHour } = entry;
    const incident = this.#incidentChange(entry, session);
    const disks = hourOf(at) === entry.disksHour ? null : beat.disks;
    entry.disksHour = hourOf(at);
    const stored = store.write(() => {
      const { nodeId } = session;
      store.health.putHeartbeat({
        nodeId,
        at,
        rttMs: beat.rttMs,
        skewMs,
        sample: JSON.stringify(beat),
        state: JSON.stringify({ state, link } satisfies SavedState),
      });
      store.history.insert(nodeId, at, figures);
      if (disks !== null) store.history.disks.insert(nodeId, at, disks);
      if (incident !== undefined) store.incidents.change(nodeId, at, incident);
      store.sessions.sessionSeen(session.row, at);
      store.nodes.setSeen(nodeId, at);
    });
    try {
      await stored;
      this.#noteStored();
    } catch (error) {
      if (!(error instanceof FleetError) || !DISK_FAULTS.has(error.code)) throw error;
      entry.disksHour = formerHour;
      // Unless the session, and the incident with it, has ended meanwhile.
      if (incident !== undefined && entry.incident === (incident?.status ?? null)) entry.incident = formerIncident;
      this.#noteUnstored(error);
    }
    sessions.heartbeat(session, at);
  }

  /** The current health of a node. */
  healthOf(node: Pick<NodeRecord, 'id'>): NodeHealth {
    const { sessions, epochs, clock, thresholds } = this.#options;
    const now = clock.now();
    const session = sessions.get(node.id);
    const { latest, beatAt, state, link } = this.#entryOf(node.id);
    const monotonic = clock.monotonic();
    const derived = deriveStatus(
      {
        sessionAgeMs: session === undefined ? null : monotonic - session.openedAt,
        heartbeatAgeMs: beatAt === undefined ? null : monotonic - beatAt,
        state,
      },
      thresholds,
    );
    const suspicion = epochs.suspicionOf(node.id);
    if (suspicion !== undefined) {
      if (derived.status === 'online') derived.status = 'limited';
      derived.reasons.push(describeSuspicion(suspicion));
    }
    return {
      ...derived,
      latest,
      link: {
        score: linkScore(link, session !== undefined, now),
        meanRttMs: link.meanRttMs,
        jitterMs: link.jitterMs,
        lostPct: lostPct(link),
        reconnectsPerHour: reconnectsPerHour(link, now),
      },
      machineScore: latest === undefined ? null : machineScore(latest, thresholds),
    };
  }

  forget(nodeId: string): void {
    this.#entries.delete(nodeId);
  }

  /** From memory, or from the store once after the gateway's start. */
  #entryOf(nodeId: string): Entry {
    const known = this.#entries.get(nodeId);
    if (known !== undefined) return known;
    const { store, clock } = this.#options;
    const row = store.health.lastHeartbeat(nodeId);
    const parsed = row === undefined ? undefined : heartbeatSchema.safeParse(JSON.parse(row.sample));
    const latest =
      row !== undefined && parsed?.success ? { at: row.at, skewMs: row.skewMs, beat: parsed.data } : undefined;
    const entry: Entry = {
      ...parseSavedState(row?.state ?? null),
      latest,
      beatAt: latest === undefined ? undefined : clock.monotonic() - Math.max(0, clock.now() - latest.at),
      session: undefined,
      incident: store.incidents.open(nodeId)?.status ?? null,
      disksHour: undefined,
    };
    this.#entries.set(nodeId, entry);
    return entry;
  }

  /** Why heartbeats cannot be stored; null if they can. */
  get storageFault(): string | null {
    return this.#unstored === 0 ? null : `heartbeats cannot be stored: ${this.#unstoredWhy}`;
  }

  #noteUnstored(error: FleetError): void {
    this.#unstoredWhy = error.message;
    this.#unstored += 1;
    if (this.#unstored > 1) return;
    this.#options.logger.error({ err: error }, 'cannot store heartbeats; the history will have a gap');
  }

  #noteStored(): void {
    if (this.#unstored === 0) return;
    this.#options.logger.warn({ lost: this.#unstored }, 'heartbeats can be stored again');
    this.#unstored = 0;
  }

  /** The incident to store if the status has changed; null for the end of one, undefined for no change. */
  #incidentChange(entry: Entry, session: Session): Pick<IncidentRow, 'status' | 'reasons'> | null | undefined {
    const { status, reasons } =
      entry.state === null || session.ended ? { status: 'online' as const, reasons: [] } : statusOfState(entry.state);
    const next = status === 'online' || status === 'offline' ? null : status;
    if (next === entry.incident) return undefined;
    entry.incident = next;
    return next === null ? null : { status: next, reasons };
  }

  #endIncident(nodeId: string): void {
    const { store, clock, logger } = this.#options;
    const entry = this.#entryOf(nodeId);
    if (entry.incident === null) return;
    entry.incident = null;
    const at = clock.now();
    store
      .write(() => store.incidents.change(nodeId, at, null))
      .catch((error: unknown) => logger.error({ err: error }, 'could not store the end of an incident'));
  }
}

/** Time of the last contact with the node, including heartbeats that could not be stored, ms; null if never. */
export function lastSeen(node: Pick<NodeRecord, 'lastSeenAt'>, { latest }: Pick<NodeHealth, 'latest'>): number | null {
  return latest === undefined ? node.lastSeenAt : Math.max(latest.at, node.lastSeenAt ?? 0);
}

function hourOf(at: number): number {
  return Math.floor(at / HOUR_MS);
}
