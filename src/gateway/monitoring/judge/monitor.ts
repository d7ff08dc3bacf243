/** Takes heartbeats in, keeps them, and says how each node is. */

import { type Heartbeat, heartbeatSchema } from '../../../protocol/heartbeat.ts';
import type { Clock } from '../../../shared/clock.ts';
import { type ErrorCode, FleetError } from '../../../shared/errors.ts';
import type { Logger } from '../../../shared/logger.ts';
import { type ConnectEpochs, describeSuspicion } from '../../identity/connect-epochs.ts';
import type { NodeRecord } from '../../nodes/nodes-table.ts';
import type { Session, Sessions } from '../../nodes/sessions.ts';
import { figuresOf } from '../history/figures.ts';
import { HOUR_MS } from '../history/resolutions.ts';
import {
  clockSkewMs,
  type DerivedStatus,
  deriveStatus,
  type HealthThresholds,
  statusOfState,
} from './derive-status.ts';
import type { JudgeStore } from './health-table.ts';
import type { IncidentRow } from './incidents-table.ts';
import { type HealthState, judgeHeartbeat } from './judge-heartbeat.ts';
import { type LinkState, linkAfterHeartbeat, linkAfterReconnect, lostPct, reconnectsPerHour } from './link-quality.ts';
import { formatSavedState, parseSavedState } from './saved-state.ts';
import { linkScore, machineScore } from './scores.ts';

/** What the disk of the gateway does to it, and no node has a part in. */
const DISK_FAULTS: ReadonlySet<ErrorCode> = new Set(['storage_failed', 'storage_busy', 'storage_corrupt']);

export interface LatestHeartbeat {
  /** When the gateway received it, ms. */
  at: number;
  skewMs: number | null;
  beat: Heartbeat;
}

export interface LinkHealth {
  /** 0 to 100; null when nothing is known yet. */
  score: number | null;
  /** Running mean of the round trips, ms. */
  meanRttMs: number | null;
  jitterMs: number | null;
  /** Of keepalives and heartbeats of about the last hour, percent. */
  lostPct: number | null;
  reconnectsPerHour: number;
}

export interface NodeHealth extends DerivedStatus {
  latest: LatestHeartbeat | undefined;
  link: LinkHealth;
  /** Of the machine, 0 to 100, as of the last heartbeat; null before the first. */
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

/** What is in memory of one node. */
interface Entry {
  latest: LatestHeartbeat | undefined;
  /** When that came, on the monotonic clock. */
  beatAt: number | undefined;
  state: HealthState | null;
  link: LinkState;
  /** The last session that the link has counted. */
  session: Session | undefined;
  /** As stored. */
  incident: IncidentRow['status'] | null;
  /** The hour for which disks were stored last. */
  disksHour: number | undefined;
}

export class HealthMonitor {
  readonly #options: HealthMonitorOptions;
  readonly #entries = new Map<string, Entry>();
  /** Heartbeats since the last one that could be stored, and why. */
  #unstored = 0;
  #unstoredWhy = '';

  constructor(options: HealthMonitorOptions) {
    this.#options = options;
  }

  /** Notes from now on when a node goes offline. */
  start(): void {
    this.#options.sessions.onChange({ online: () => undefined, offline: ({ nodeId }) => this.#endIncident(nodeId) });
  }

  /**
   * Takes in one heartbeat; resolves once it is durable. A gateway whose disk is full knows it all the same, and only the history has a
   * gap: the node has no part in that, and would cut its tunnel, and with it all that goes on there, if it were told.
   */
  async accept(session: Session, beat: Heartbeat): Promise<void> {
    const { store, sessions, clock, thresholds } = this.#options;
    const at = clock.now();
    const skewMs = Math.round(clockSkewMs(beat.at, at, beat.rttMs));
    const entry = this.#entryOf(session.nodeId);
    if (entry.session !== session) {
      // The first session since the gateway's start ends the gateway's own absence.
      if (entry.session !== undefined) entry.link = linkAfterReconnect(entry.link, at);
      entry.session = session;
    }
    const state = judgeHeartbeat(entry.state, { beat, skewMs }, thresholds, at);
    entry.state = state;
    entry.link = linkAfterHeartbeat(
      entry.link,
      { rttMs: beat.rttMs, lostKeepalives: beat.tunnel?.lostKeepalives ?? null },
      at,
    );
    entry.latest = { at, skewMs, beat };
    entry.beatAt = clock.monotonic();
    const figures = figuresOf({ beat, skewMs, jitterMs: entry.link.jitterMs });
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
        state: formatSavedState({ state, link: entry.link }),
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
      // Unless the session has ended meanwhile, and the incident with it.
      if (incident !== undefined && entry.incident === (incident?.status ?? null)) entry.incident = formerIncident;
      this.#noteUnstored(error);
    }
    sessions.heartbeat(session, at);
  }

  /** How the node is now, and why. */
  healthOf(node: Pick<NodeRecord, 'id'>): NodeHealth {
    const { sessions, clock, thresholds } = this.#options;
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
    const suspicion = this.#options.epochs.suspicionOf(node.id);
    const suspected =
      suspicion === undefined
        ? derived
        : {
            status: derived.status === 'online' ? ('limited' as const) : derived.status,
            reasons: [...derived.reasons, describeSuspicion(suspicion)],
          };
    return {
      ...suspected,
      latest,
      link: {
        score: linkScore(link, session !== undefined, now),
        meanRttMs: link.meanRttMs,
        jitterMs: link.jitterMs,
        lostPct: lostPct(link),
        reconnectsPerHour: reconnectsPerHour(link, now),
      },
      machineScore: latest === undefined ? null : machineScore(latest.beat, latest.skewMs, thresholds),
    };
  }

  forget(nodeId: string): void {
    this.#entries.delete(nodeId);
  }

  /** From memory; after a start of the gateway, once from the store. */
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

  /** What keeps heartbeats out of the database now; null if nothing does. */
  get storageFault(): string | null {
    return this.#unstored === 0 ? null : `heartbeats cannot be stored: ${this.#unstoredWhy}`;
  }

  #noteUnstored(error: FleetError): void {
    this.#unstoredWhy = error.message;
    this.#unstored += 1;
    if (this.#unstored > 1) return;
    this.#options.logger.error({ err: error }, 'heartbeats cannot be stored; until they can, the history has a gap');
  }

  #noteStored(): void {
    if (this.#unstored === 0) return;
    this.#options.logger.warn({ lost: this.#unstored }, 'heartbeats are stored again');
    this.#unstored = 0;
  }

  /** What to store if the status is another one than was stored last: null for the end of trouble, undefined for no change. */
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

/** When anything was heard of the node, ms; null if never. A heartbeat that could not be stored counts, too. */
export function lastSeen(node: Pick<NodeRecord, 'lastSeenAt'>, { latest }: Pick<NodeHealth, 'latest'>): number | null {
  return latest === undefined ? node.lastSeenAt : Math.max(latest.at, node.lastSeenAt ?? 0);
}

function hourOf(at: number): number {
  return Math.floor(at / HOUR_MS);
}
