/** Alerts that are pending, firing or over, as the engine left them. Times are ms. */

import type { AlertState, Severity } from '../../../protocol/alert-views.ts';
import type { Sqlite } from '../../store/database.ts';
import type { JudgeStore } from '../judge/health-table.ts';
import type { DeliveriesTable } from './delivery/deliveries-table.ts';
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
  /** Whether it was put out for its receivers that it fires; not yet while it is silenced. */
  isTold: boolean;
}

type StoredRow = Omit<AlertRow, 'isTold'> & { isTold: number };

const COLUMNS = `id, rule, severity, node_id AS nodeId, node_name AS nodeName, state, since, clear_since AS clearSince,
  fired_at AS firedAt, resolved_at AS resolvedAt, summary, reason, told AS isTold`;

/** How many alerts of one node are alike in this. */
export interface AlertCount {
  nodeId: string;
  severity: Severity;
  state: AlertState;
  count: number;
}

/** What fires counts whatever its times are: the clock may have been set back since. */
const FIRED_WITHIN = `(state = 'firing' OR (state = 'resolved' AND resolved_at > @from AND fired_at < @to))`;

export class AlertsTable {
  readonly #statements;

  constructor(database: Sqlite) {
    this.#statements = {
      put: database.prepare(
        `INSERT INTO alerts (id, rule, severity, node_id, node_name, state, since, clear_since, fired_at, resolved_at,
           summary, reason, told)
         VALUES (@id, @rule, @severity, @nodeId, @nodeName, @state, @since, @clearSince, @firedAt, @resolvedAt,
           @summary, @reason, @isTold)
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
    this.#statements.put.run({ ...row, isTold: row.isTold ? 1 : 0 });
  }

  /** Forgets one that nobody was told of. */
  remove(id: string): void {
    this.#statements.remove.run(id);
  }

  /** Pending and firing ones, oldest first. */
  active(): AlertRow[] {
    return toRows(this.#statements.active.all());
  }

  /** Newest first. */
  latest(limit: number): AlertRow[] {
    return toRows(this.#statements.latest.all(limit));
  }

  /** Of those nodes, what fired or went on firing within a period: the firing first, then the critical, then the longest. */
  worstFired({ from, to }: { from: number; to: number }, nodeIds: ReadonlySet<string>, most: number): AlertRow[] {
    const worst: AlertRow[] = [];
    if (most <= 0) return worst;
    for (const row of this.#statements.worstFired.iterate({ from, to }) as IterableIterator<StoredRow>) {
      if (!nodeIds.has(row.nodeId)) continue;
      worst.push(toRow(row));
      if (worst.length === most) break;
    }
    return worst;
  }

  /** Of all nodes, also of removed ones: how many {@link worstFired} would find. */
  countFired({ from, to }: { from: number; to: number }): AlertCount[] {
    return this.#statements.countFired.all({ from, to }) as AlertCount[];
  }

  /** Two at most: more than one is ambiguous. */
  byPrefix(prefix: string): AlertRow[] {
    return toRows(this.#statements.byPrefix.all({ prefix }));
  }

  /** Deletes some that ended before `before`; how many went. */
  prune(before: number, most: number): number {
    return this.#statements.prune.run(before, most).changes;
  }
}

function toRows(rows: unknown[]): AlertRow[] {
  return (rows as StoredRow[]).map(toRow);
}

function toRow(row: StoredRow): AlertRow {
  return { ...row, isTold: row.isTold === 1 };
}

/** The store as this folder, and those above it, see it. */
export interface AlertsStore extends JudgeStore {
  readonly alerts: AlertsTable;
  readonly deliveries: DeliveriesTable;
  readonly silences: SilencesTable;
}
