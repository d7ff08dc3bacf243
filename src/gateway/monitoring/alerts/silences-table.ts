/** The table of silences. Times are ms. */
import type { SilenceView } from '../../../protocol/alerts.ts';
import type { Sqlite } from '../../store/database.ts';

export interface SilenceRow {
  id: string;
  kind: SilenceView['kind'];
  /** Name of a rule, id of a node or of an alert. */
  target: string;
  /** Name of the rule or node at that time, id of the alert. */
  label: string;
  until: number;
  reason: string | null;
  createdBy: string;
  createdAt: number;
}

const COLUMNS = 'id, kind, target, label, until, reason, created_by AS createdBy, created_at AS createdAt';

export class SilencesTable {
  readonly #statements;

  constructor(database: Sqlite) {
    this.#statements = {
      put: database.prepare(
        `INSERT INTO alert_silences (id, kind, target, label, until, reason, created_by, created_at)
         VALUES (@id, @kind, @target, @label, @until, @reason, @createdBy, @createdAt)
         ON CONFLICT (kind, target) DO UPDATE SET id = excluded.id, label = excluded.label, until = excluded.until,
           reason = excluded.reason, created_by = excluded.created_by, created_at = excluded.created_at`,
      ),
      active: database.prepare(`SELECT ${COLUMNS} FROM alert_silences WHERE until > ? ORDER BY until, id`),
      remove: database.prepare('DELETE FROM alert_silences WHERE id = ?'),
      prune: database.prepare('DELETE FROM alert_silences WHERE until <= ?'),
    };
  }

  /** Replaces a silence of the same target. */
  put(row: SilenceRow): void {
    this.#statements.put.run(row);
  }

  active(now: number): SilenceRow[] {
    return this.#statements.active.all(now) as SilenceRow[];
  }

  remove(id: string): void {
    this.#statements.remove.run(id);
  }

  /** Deletes expired ones. */
  prune(now: number): void {
    this.#statements.prune.run(now);
  }
}
