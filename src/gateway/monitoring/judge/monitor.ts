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
import { clockSkewMs, deriveStatus, judgeHeartbeat, statusOfState } from './status.ts';

/** Faults of the gateway's disk, for which no node is to blame. */
const DISK_FAULTS: ReadonlySet<ErrorCode> = new Set(['storage_failed', 'storage_busy', 'storage_corrupt']);

interface LatestHeartbeat {
  /** When the gateway received it, ms. */
  at: number;
  skewMs: number | null;
  beat: Heartbeat;
}

/** Scores are 0 to 100, and null if unknown; `lostPct` is that of about the last hour. */
export type NodeHealth = ReturnType<HealthMonitor['healthOf']>;

interface HealthMonitorOptions {
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
  /** Since the last heartbeat that could be stored. */
  #unstored: { count: number; why: string } | undefined;

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
    const { store, sessions, clock, logger, thresholds } = this.#options;
    const at = clock.now();
    const skewMs = Math.round(clockSkewMs(beat.at, at, beat.rttMs));
    const entry = this.#entryOf(session.nodeId);
    if (entry.session !== session) {
      // The first session after the gateway's start is not a reconnect.
      if (entry.session !== undefined) entry.link = linkAfterReconnect(entry.link, at);
      entry.session = session;
    }
    const state = judgeHeartbeat(entry.state, { beat, skewMs }, thresholds, at);
    const link = linkAfterHeartbeat(entry.link, beat, at);
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
      if (this.#unstored !== undefined) logger.warn({ lost: this.#unstored.count }, 'heartbeats can be stored again');
      this.#unstored = undefined;
    } catch (error) {
      if (!(error instanceof FleetError) || !DISK_FAULTS.has(error.code)) throw error;
      entry.disksHour = formerHour;
      // Unless the session, and the incident with it, has ended meanwhile.
      if (incident !== undefined && entry.incident === (incident?.status ?? null)) entry.incident = formerIncident;
      if (this.#unstored === undefined)
        logger.error({ err: error }, 'cannot store heartbeats; the history will have a gap');
      this.#unstored = { count: (this.#unstored?.count ?? 0) + 1, why: error.message };
    }
    sessions.heartbeat(session, at);
  }

  /** The current health of a node. */
  healthOf(node: Pick<NodeRecord, 'id'>) {
    const { sessions, epochs, clock, thresholds } = this.#options;
    const now = clock.now();
    const session = sessions.get(node.id);
    const { latest, beatAt, state, link } = this.#entryOf(node.id);
    const ageOf = (at: number | undefined) => (at === undefined ? null : clock.monotonic() - at);
    const ages = { sessionAgeMs: ageOf(session?.openedAt), heartbeatAgeMs: ageOf(beatAt) };
    const derived = deriveStatus(ages, state, thresholds);
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
    const beat = row && heartbeatSchema.safeParse(JSON.parse(row.sample)).data;
    const latest = row && beat && { at: row.at, skewMs: row.skewMs, beat };
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
    return this.#unstored === undefined ? null : `heartbeats cannot be stored: ${this.#unstored.why}`;
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
