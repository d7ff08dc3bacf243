/** The table of invites, including spent ones for a while. Secrets are stored as they are: the gateway must prove that it knows them. */
import type { Labels } from '../../domain/names.ts';
import type { Role } from '../../domain/vocabulary.ts';
import type { Sqlite } from '../store/database.ts';

/** Wrong proofs that invalidate an invite: somebody who should not have it has seen its id. */
export const MAX_INVITE_FAILURES = 5;

export interface InviteRecord {
  id: string;
  secret: string;
  name: string | null;
  role: Role;
  labels: Labels;
  /** Whether its nodes are removed after a time offline. */
  ephemeral: boolean;
  usesLeft: number;
  failures: number;
  createdAt: number;
  /** Name of its creator. */
  createdBy: string;
  expiresAt: number;
}

type Row = Omit<InviteRecord, 'labels' | 'ephemeral'> & { labels: string; ephemeral: number };

const COLUMNS = `id, secret, name, role, labels, ephemeral, uses_left AS usesLeft, failures, created_at AS createdAt,
  created_by AS createdBy, expires_at AS expiresAt`;

export class InvitesTable {
  readonly #statements;

  constructor(database: Sqlite) {
    this.#statements = {
      insert: database.prepare(
        `INSERT INTO invites (id, secret, name, role, labels, ephemeral, uses_left, created_at, created_by, expires_at)
         VALUES (@id, @secret, @name, @role, @labels, @ephemeral, @usesLeft, @createdAt, @createdBy, @expiresAt)`,
      ),
      byId: database.prepare(`SELECT ${COLUMNS} FROM invites WHERE id = ?`),
      all: database.prepare(`SELECT ${COLUMNS} FROM invites ORDER BY created_at`),
      revoke: database.prepare('UPDATE invites SET expires_at = min(expires_at, ?) WHERE id = ?'),
      use: database.prepare(
        `UPDATE invites SET uses_left = uses_left - 1
         WHERE id = ? AND uses_left > 0 AND expires_at > ? AND failures < ${MAX_INVITE_FAILURES}`,
      ),
      fail: database.prepare('UPDATE invites SET failures = failures + 1 WHERE id = ?'),
      prune: database.prepare('DELETE FROM invites WHERE expires_at <= ?'),
    };
  }

  insert(invite: Omit<InviteRecord, 'failures'>): void {
    const { labels, ephemeral } = invite;
    this.#statements.insert.run({ ...invite, labels: JSON.stringify(labels), ephemeral: Number(ephemeral) });
  }

  byId(id: string): InviteRecord | undefined {
    const row = this.#statements.byId.get(id) as Row | undefined;
    return row && toRecord(row);
  }

  /** Oldest first, including spent ones. */
  all(): InviteRecord[] {
    return (this.#statements.all.all() as Row[]).map(toRecord);
  }

  /** Admits nobody from `now` on. */
  revoke(id: string, now: number): void {
    this.#statements.revoke.run(now, id);
  }

  /** Takes one use; false if none is left, or it has expired at `now` or been invalidated. */
  use(id: string, now: number): boolean {
    return this.#statements.use.run(id, now).changes === 1;
  }

  countFailure(id: string): void {
    this.#statements.fail.run(id);
  }

  /** Deletes those that expired before that time. */
  prune(expiredBefore: number): void {
    this.#statements.prune.run(expiredBefore);
  }
}

function toRecord(row: Row): InviteRecord {
  return { ...row, labels: JSON.parse(row.labels) as Labels, ephemeral: row.ephemeral === 1 };
}
