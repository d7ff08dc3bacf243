/** The table of alerts: pending, firing and resolved. Times are ms. */

import type { AlertState, Severity } from '../../../protocol/alerts.ts';
import type { Sqlite } from '../../store/database.ts';
import type { JudgeStore } from '../judge/judge-store.ts';
import type { DeliveriesTable } from './deliveries-table.ts';
import type { SilencesTable } from './silences-table.ts';

export interface AlertRow {
  id: string;
  rule: string;
  severity: Severity;
  nodeId: string;
  nodeName: string;
  state: AlertState;
  since: number;
  clearSince: number | null;
  firedAt: number | null;
  resolvedAt: number | null;
  summary: string;
  reason: string | null;
  /** Whether a notification that it fires was queued for its receivers; not while it is silenced. */
  isNotified: boolean;
}

type StoredRow = Omit<AlertRow, 'isNotified'> & { isNotified: number };

const COLUMNS = `id, rule, severity, node_id AS nodeId, node_name AS nodeName, state, since, clear_since AS clearSince,
  fired_at AS firedAt, resolved_at AS resolvedAt, summary, reason, told AS isNotified`;

export interface AlertCount {
  nodeId: string;
  severity: Severity;
  state: AlertState;
  count: number;
}

/** Firing alerts count whatever their times: the clock may have been set back since. */
const FIRED_WITHIN = `(state = 'firing' OR (state = 'resolved' AND resolved_at > @from AND fired_at < @to))`;

export class AlertsTable {
  readonly #statements;

  constructor(database: Sqlite) {
    this.#statements = {
      put: database.prepare(
        `INSERT INTO alerts (id, rule, severity, node_id, node_name, state, since, clear_since, fired_at, resolved_at,
           summary, reason, told)
         VALUES (@id, @rule, @severity, @nodeId, @nodeName, @state, @since, @clearSince, @firedAt, @resolvedAt,
           @summary, @reason, @isNotified)
         ON CONFLICT (id) DO UPDATE SET node_name = excluded.node_name, state = excluded.state, since = excluded.since,
           clear_since = excluded.clear_since, fired_at = excluded.fired_at, resolved_at = excluded.resolved_at,
           summary = excluded.summary, reason = excluded.reason, told = excluded.told, severity = excluded.severity`,
      ),
      remove: database.prepare('DELETE FROM alerts WHERE id = ?'),
      active: database.prepare(`SELECT ${COLUMNS} FROM alerts WHERE state <> 'resolved' ORDER BY since, id`),
      latest: database.prepare(`SELECT ${COLUMNS} FROM alerts ORDER BY since DESC, id LIMIT ?`),
      worstFired: database.prepare(
        `SELECT ${COLUMNS} FROM alerts WHERE ${FIRED_WITHIN}
         ORDER BY state = 'resolved', severity <> 'critical', coalesce(resolved_at, @to) - since DESC, id`,
      ),
      countFired: database.prepare(
        `SELECT node_id AS nodeId, severity, state, count(*) AS count FROM alerts WHERE ${FIRED_WITHIN}
         GROUP BY node_id, severity, state`,
      ),
      byPrefix: database.prepare(
        `SELECT ${COLUMNS} FROM alerts WHERE substr(id, 1, length(@prefix)) = @prefix LIMIT 2`,
      ),
      prune: database.prepare(
        `DELETE FROM alerts WHERE id IN (SELECT id FROM alerts WHERE state = 'resolved' AND resolved_at < ? LIMIT ?)`,
      ),
    };
  }

  put(row: AlertRow): void {
    this.#statements.put.run({ ...row, isNotified: Number(row.isNotified) });
  }

  remove(id: string): void {
    this.#statements.remove.run(id);
  }

  /** Pending and firing alerts, oldest first. */
  active(): AlertRow[] {
    return toRows(this.#statements.active.all());
  }

  /** Newest first. */
  latest(limit: number): AlertRow[] {
    return toRows(this.#statements.latest.all(limit));
  }

  /** Alerts of these nodes that fired at some time within a period: firing first, then critical, then longest. */
  worstFired({ from, to }: { from: number; to: number }, nodeIds: ReadonlySet<string>, most: number): AlertRow[] {
    const worst: AlertRow[] = [];
    for (const row of this.#statements.worstFired.iterate({ from, to }) as Iterable<StoredRow>) {
      if (worst.length >= most) break;
      if (nodeIds.has(row.nodeId)) worst.push(toRow(row));
    }
    return worst;
  }

  /** Numbers of alerts that fired within a period, of all nodes including removed ones. */
  countFired({ from, to }: { from: number; to: number }): AlertCount[] {
    return this.#statements.countFired.all({ from, to }) as AlertCount[];
  }

  /** Two at most, which is ambiguous. */
  byPrefix(prefix: string): AlertRow[] {
    return toRows(this.#statements.byPrefix.all({ prefix }));
  }

  /** Deletes some that ended before `before`. */
  prune(before: number, most: number): void {
    this.#statements.prune.run(before, most);
  }
}

function toRows(rows: unknown[]): AlertRow[] {
  return (rows as StoredRow[]).map(toRow);
}

function toRow(row: StoredRow): AlertRow {
  return { ...row, isNotified: row.isNotified === 1 };
}

/** The store as alerts, and the folders above them, see it. */
export interface AlertsStore extends JudgeStore {
  readonly alerts: AlertsTable;
  readonly deliveries: DeliveriesTable;
  readonly silences: SilencesTable;
}
