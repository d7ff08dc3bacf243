/** What the database keeps of nodes' health besides their history: latest heartbeats, incidents, and when the gateway itself ran. */
import { z } from 'zod';
import type { NodeStatus } from '../../../domain/states.ts';
import { prepareAll, type Sqlite } from '../../store/database.ts';
import type { HistoryStore } from '../history/history-table.ts';
import { linkStateSchema, NEW_LINK } from './scores.ts';
import { healthStateSchema } from './status.ts';

/** The store as this folder, and those above it, see it. */
export interface JudgeStore extends HistoryStore {
  readonly health: HealthTable;
  readonly gatewayUptime: GatewayUptimeTable;
  readonly incidents: IncidentsTable;
}

interface HeartbeatRow {
  nodeId: string;
  /** When the gateway received it, ms. */
  at: number;
  rttMs: number | null;
  skewMs: number | null;
  /** The heartbeat as JSON. */
  sample: string;
  /** A {@link SavedState} as JSON; null in a row from an earlier version. */
  state: string | null;
}

const savedStateSchema = z.object({ state: healthStateSchema.nullable(), link: linkStateSchema });
/** What the monitor remembers of a node, stored so that a restart forgets nothing. */
export type SavedState = z.infer<typeof savedStateSchema>;

/** An empty state if the text is damaged, or from a version that remembered something else. */
export function parseSavedState(text: string | null): SavedState {
  try {
    const parsed = savedStateSchema.safeParse(JSON.parse(text ?? 'null'));
    if (parsed.success) return parsed.data;
  } catch (error) {
    if (!(error instanceof SyntaxError)) throw error;
  }
  return { state: null, link: NEW_LINK };
}

/** The latest heartbeat of each node. */
export class HealthTable {
  readonly #statements;

  constructor(database: Sqlite) {
    this.#statements = prepareAll(database, {
      put: `INSERT INTO latest_heartbeats (node_id, at, skew_ms, rtt_ms, sample, state)
         VALUES (@nodeId, @at, @skewMs, @rttMs, @sample, @state)
         ON CONFLICT DO UPDATE SET at = excluded.at, skew_ms = excluded.skew_ms, rtt_ms = excluded.rtt_ms,
           sample = excluded.sample, state = excluded.state`,
      last: `SELECT node_id AS nodeId, at, skew_ms AS skewMs, rtt_ms AS rttMs, sample, state FROM latest_heartbeats
         WHERE node_id = ?`,
    });
  }

  putHeartbeat(beat: HeartbeatRow): void {
    this.#statements.put.run(beat);
  }

  lastHeartbeat(nodeId: string): HeartbeatRow | undefined {
    return this.#statements.last.get(nodeId) as HeartbeatRow | undefined;
  }
}

export interface IncidentRow {
  nodeId: string;
  status: Extract<NodeStatus, 'limited' | 'error'>;
  startedAt: number;
  /** Null while it is open. */
  endedAt: number | null;
  /** As of its start. */
  reasons: string[];
}

/** When nodes were `limited` or in `error`, and why. Times offline follow from their sessions. */
export class IncidentsTable {
  readonly #statements;

  constructor(database: Sqlite) {
    const columns = 'node_id AS nodeId, status, started_at AS startedAt, ended_at AS endedAt, reasons';
    this.#statements = prepareAll(database, {
      open: `SELECT ${columns} FROM incidents WHERE node_id = ? AND ended_at IS NULL`,
      begin: `INSERT INTO incidents (node_id, started_at, status, reasons) VALUES (?, ?, ?, ?)
         ON CONFLICT DO UPDATE SET status = excluded.status, reasons = excluded.reasons, ended_at = NULL`,
      end: 'UPDATE incidents SET ended_at = max(started_at, ?) WHERE node_id = ? AND ended_at IS NULL',
      endStale: `UPDATE incidents SET ended_at = max(started_at, coalesce(
           (SELECT at FROM latest_heartbeats WHERE latest_heartbeats.node_id = incidents.node_id), started_at))
         WHERE ended_at IS NULL`,
      between: `SELECT ${columns} FROM incidents WHERE node_id IN (SELECT value FROM json_each(?)) AND started_at < ?
           AND (ended_at IS NULL OR ended_at >= ?) ORDER BY started_at`,
      forget: `DELETE FROM incidents WHERE node_id = @nodeId AND (
           ended_at < @before OR ended_at < @briefBefore AND ended_at - started_at < @briefMs)`,
    });
  }

  /** The open incident of a node. */
  open(nodeId: string): IncidentRow | undefined {
    return toIncidents(this.#statements.open.all(nodeId))[0];
  }

  /** Ends the open incident, if any, and opens another unless `next` is null. */
  change(nodeId: string, at: number, next: Pick<IncidentRow, 'status' | 'reasons'> | null): void {
    this.#statements.end.run(at, nodeId);
    if (next !== null) this.#statements.begin.run(nodeId, at, next.status, JSON.stringify(next.reasons));
  }

  /** After a crash of the gateway: ends every open incident at its node's last heartbeat. */
  endStale(): void {
    this.#statements.endStale.run();
  }

  /** Those of these nodes that overlap the period, oldest first, by node. */
  betweenOf(nodeIds: readonly string[], from: number, to: number): Map<string, IncidentRow[]> {
    const rows = this.#statements.between.all(JSON.stringify(nodeIds), to, from);
    return Map.groupBy(toIncidents(rows), ({ nodeId }) => nodeId);
  }

  /** Deletes incidents that ended before `before`, and those shorter than `briefMs` that ended before `briefBefore`; all ms. */
  forget(nodeId: string, limits: { before: number; briefBefore: number; briefMs: number }): void {
    this.#statements.forget.run({ nodeId, ...limits });
  }
}

function toIncidents(rows: unknown[]): IncidentRow[] {
  return (rows as (Omit<IncidentRow, 'reasons'> & { reasons: string })[]).map((row) => ({
    ...row,
    reasons: JSON.parse(row.reasons) as string[],
  }));
}

/** How long nodes may take to reconnect after the gateway's start before that counts as their own absence, ms. */
const RECONNECT_MS = 90_000;

export interface Downtime {
  /** ms since the epoch. */
  from: number;
  to: number;
  /** Until then, nodes may still be reconnecting, ms. */
  settledAt: number;
}

/** When the gateway itself ran, so that time in which it could not see its nodes does not count against them. */
export class GatewayUptimeTable {
  readonly #statements;

  constructor(database: Sqlite) {
    this.#statements = prepareAll(database, {
      last: 'SELECT seen_at AS seenAt FROM gateway_runs ORDER BY id DESC LIMIT 1',
      begin: 'INSERT INTO gateway_runs (started_at, seen_at) VALUES (@at, @at)',
      seen: 'UPDATE gateway_runs SET seen_at = max(seen_at, ?) WHERE id = (SELECT max(id) FROM gateway_runs)',
      downtimes: `SELECT "from", "to", "to" + ${RECONNECT_MS} AS settledAt FROM
           (SELECT lag(seen_at) OVER (ORDER BY id) AS "from", started_at AS "to" FROM gateway_runs)
         WHERE "from" < "to" AND "from" < @to AND "to" + ${RECONNECT_MS} > @from ORDER BY "from"`,
      forget: 'DELETE FROM gateway_runs WHERE seen_at < ? AND id < (SELECT max(id) FROM gateway_runs) - 1',
    });
  }

  /** When the gateway was last known to run, ms; null if never. */
  lastSeenAt(): number | null {
    return (this.#statements.last.get() as { seenAt: number } | undefined)?.seenAt ?? null;
  }

  noteStart(at: number): void {
    this.#statements.begin.run({ at });
  }

  noteSeen(at: number): void {
    this.#statements.seen.run(at);
  }

  /** Times without a gateway that overlap the period, oldest first. */
  downtimes(from: number, to: number): Downtime[] {
    return this.#statements.downtimes.all({ from, to }) as Downtime[];
  }

  /** Deletes runs that ended before `before`, ms. */
  forget(before: number): void {
    this.#statements.forget.run(before);
  }
}
