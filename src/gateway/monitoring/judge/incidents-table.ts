/** When nodes were `limited` or in `error`, from when to when and why. When they were offline, the sessions tell. */
import type { NodeStatus } from '../../../domain/states.ts';
import type { Sqlite } from '../../store/database.ts';

export type IncidentStatus = Extract<NodeStatus, 'limited' | 'error'>;

export interface IncidentRow {
  nodeId: string;
  status: IncidentStatus;
  startedAt: number;
  /** Null while it goes on. */
  endedAt: number | null;
  /** As they were when it began. */
  reasons: string[];
}

const COLUMNS = 'node_id AS nodeId, status, started_at AS startedAt, ended_at AS endedAt, reasons';

export class IncidentsTable {
  readonly #statements;

  constructor(database: Sqlite) {
    this.#statements = {
      open: database.prepare(`SELECT ${COLUMNS} FROM incidents WHERE node_id = ? AND ended_at IS NULL`),
      begin: database.prepare(
        `INSERT INTO incidents (node_id, started_at, status, reasons) VALUES (?, ?, ?, ?)
         ON CONFLICT DO UPDATE SET status = excluded.status, reasons = excluded.reasons, ended_at = NULL`,
      ),
      end: database.prepare(
        'UPDATE incidents SET ended_at = max(started_at, ?) WHERE node_id = ? AND ended_at IS NULL',
      ),
      endStale: database.prepare(
        `UPDATE incidents SET ended_at = max(started_at, coalesce(
           (SELECT at FROM latest_heartbeats WHERE latest_heartbeats.node_id = incidents.node_id), started_at))
         WHERE ended_at IS NULL`,
      ),
      between: database.prepare(
        `SELECT ${COLUMNS} FROM incidents WHERE node_id = ? AND started_at < ? AND (ended_at IS NULL OR ended_at >= ?)
         ORDER BY started_at`,
      ),
      betweenOf: database.prepare(
        `SELECT ${COLUMNS} FROM incidents WHERE node_id IN (SELECT value FROM json_each(?)) AND started_at < ?
           AND (ended_at IS NULL OR ended_at >= ?) ORDER BY started_at`,
      ),
      forget: database.prepare(
        `DELETE FROM incidents WHERE node_id = @nodeId AND (
           ended_at < @before OR ended_at < @briefBefore AND ended_at - started_at < @briefMs)`,
      ),
    };
  }

  /** The one that goes on. */
  open(nodeId: string): IncidentRow | undefined {
    return toIncidents(this.#statements.open.all(nodeId))[0];
  }

  /** Ends the one that goes on, if any, and begins another unless the node is well now (null). */
  change(nodeId: string, at: number, next: Pick<IncidentRow, 'status' | 'reasons'> | null): void {
    this.#statements.end.run(at, nodeId);
    if (next !== null) this.#statements.begin.run(nodeId, at, next.status, JSON.stringify(next.reasons));
  }

  /** After a crash of the gateway: what went on then ended with the node's last heartbeat. */
  endStale(): void {
    this.#statements.endStale.run();
  }

  /** Of one node, those that touch the period, oldest first. */
  between(nodeId: string, from: number, to: number): IncidentRow[] {
    return toIncidents(this.#statements.between.all(nodeId, to, from));
  }

  /** {@link between} of many nodes, by node. */
  betweenOf(nodeIds: readonly string[], from: number, to: number): Map<string, IncidentRow[]> {
    const rows = this.#statements.betweenOf.all(JSON.stringify(nodeIds), to, from);
    return Map.groupBy(toIncidents(rows), ({ nodeId }) => nodeId);
  }

  /** Deletes those that ended before `before`, and already before `briefBefore` those shorter than `briefMs`. All ms. */
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
