/** The rows of the audit log and its signed head. Rows are inserted and, once old, deleted, but never changed. */
import type { AuditHead, AuditPosition } from '../../domain/audit.ts';
import { prepareAll, type Sqlite } from '../store/database.ts';

export interface StoredLine {
  seq: number;
  line: string;
}

export class AuditTable {
  readonly #statements;

  constructor(database: Sqlite) {
    this.#statements = prepareAll(database, {
      insert: 'INSERT INTO audit (seq, line) VALUES (?, ?)',
      last: 'SELECT seq, line FROM audit ORDER BY seq DESC LIMIT 1',
      after: 'SELECT seq, line FROM audit WHERE seq > ? ORDER BY seq LIMIT ?',
      before: 'SELECT seq, line FROM audit WHERE seq < ? ORDER BY seq DESC LIMIT ?',
      firstSince: 'SELECT min(seq) AS seq FROM audit WHERE at >= ?',
      head: 'SELECT seq, hash, key, signature FROM audit_head',
      setHead:
        'INSERT OR REPLACE INTO audit_head (id, seq, hash, key, signature) VALUES (1, @seq, @hash, @key, @signature)',
      // The hash is at the end of the line, which may be long.
      oldest: 'SELECT seq, substr(line, -100) AS line, at FROM audit ORDER BY seq LIMIT ?',
      deleteThrough: 'DELETE FROM audit WHERE seq <= ?',
    });
  }

  insert(seq: number, line: string): void {
    this.#statements.insert.run(seq, line);
  }

  last(): StoredLine | undefined {
    return this.#statements.last.get() as StoredLine | undefined;
  }

  /** In order; at most `limit`, and no more once they exceed `maxLength` UTF-16 units together, but at least one. */
  after(seq: number, limit: number, maxLength?: number): StoredLine[] {
    return take(this.#statements.after.iterate(seq, limit) as Iterable<StoredLine>, maxLength);
  }

  /** {@link after} in the other direction, last row first. */
  before(seq: number, limit: number, maxLength?: number): StoredLine[] {
    return take(this.#statements.before.iterate(seq, limit) as Iterable<StoredLine>, maxLength);
  }

  /** The first row at or after the time, ISO 8601 UTC. */
  firstSince(at: string): number | undefined {
    return (this.#statements.firstSince.get(at) as { seq: number | null }).seq ?? undefined;
  }

  head(): AuditHead | undefined {
    return this.#statements.head.get() as AuditHead | undefined;
  }

  setHead(head: AuditHead): void {
    this.#statements.setHead.run(head);
  }

  /** The first rows up to the first one at or after `at` (ISO 8601 UTC), at most `limit` and never the last row; only the ends of their lines. */
  oldest(at: string, limit: number): StoredLine[] {
    const rows = this.#statements.oldest.all(limit + 1) as (StoredLine & { at: string })[];
    const young = rows.findIndex((row) => row.at >= at);
    return rows.slice(0, young < 0 ? rows.length - 1 : young).slice(0, limit);
  }

  deleteThrough({ seq }: Pick<AuditPosition, 'seq'>): void {
    this.#statements.deleteThrough.run(seq);
  }
}

function take(rows: Iterable<StoredLine>, maxLength = Number.POSITIVE_INFINITY): StoredLine[] {
  const taken: StoredLine[] = [];
  let length = 0;
  for (const row of rows) {
    taken.push(row);
    length += row.line.length;
    if (length >= maxLength) break;
  }
  return taken;
}
