/** Invites, for a while also those that let nobody in any more. The secret is kept as it is: the gateway must prove that it knows it. */
import type { Labels } from '../../domain/names.ts';
import type { Role } from '../../domain/vocabulary.ts';
import type { Sqlite } from '../store/database.ts';

/** That many wrong proofs burn an invite: it was seen by somebody who should not have. */
export const MAX_INVITE_FAILURES = 5;

export interface InviteRecord {
  id: string;
  secret: string;
  name: string | null;
  role: Role;
  labels: Labels;
  /** Whether its nodes are forgotten after a time offline. */
  ephemeral: boolean;
  usesLeft: number;
  failures: number;
  createdAt: number;
  /** Name of the caller who made it. */
  createdBy: string;
  expiresAt: number;
}

interface Row {
  id: string;
  secret: string;
  name: string | null;
  role: Role;
  labels: string;
  ephemeral: number;
  uses_left: number;
  failures: number;
  created_at: number;
  created_by: string;
  expires_at: number;
}

export class InvitesTable {
  readonly #statements;

  constructor(database: Sqlite) {
    this.#statements = {
      insert: database.prepare(
        `INSERT INTO invites (id, secret, name, role, labels, ephemeral, uses_left, created_at, created_by, expires_at)
         VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`,
      ),
      byId: database.prepare('SELECT * FROM invites WHERE id = ?'),
      all: database.prepare('SELECT * FROM invites ORDER BY created_at'),
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
    const { id, secret, name, role, labels, ephemeral, usesLeft, createdAt, createdBy, expiresAt } = invite;
    this.#statements.insert.run(
      id,
      secret,
      name,
      role,
      JSON.stringify(labels),
      ephemeral ? 1 : 0,
      usesLeft,
      createdAt,
      createdBy,
      expiresAt,
    );
  }

  byId(id: string): InviteRecord | undefined {
    const row = this.#statements.byId.get(id) as Row | undefined;
    return row === undefined ? undefined : toRecord(row);
  }

  /** Oldest first; also those that let nobody in any more. */
  all(): InviteRecord[] {
    return (this.#statements.all.all() as Row[]).map(toRecord);
  }

  /** Lets nobody in from `now` on. */
  revoke(id: string, now: number): void {
    this.#statements.revoke.run(now, id);
  }

  /** Takes one use; false when none was left, it has expired at `now`, or it is burned. */
  use(id: string, now: number): boolean {
    return this.#statements.use.run(id, now).changes === 1;
  }

  countFailure(id: string): void {
    this.#statements.fail.run(id);
  }

  /** Deletes those that have expired before that time. */
  prune(expiredBefore: number): void {
    this.#statements.prune.run(expiredBefore);
  }
}

function toRecord(row: Row): InviteRecord {
  return {
    id: row.id,
    secret: row.secret,
    name: row.name,
    role: row.role,
    labels: JSON.parse(row.labels) as Labels,
    ephemeral: row.ephemeral === 1,
    usesLeft: row.uses_left,
    failures: row.failures,
    createdAt: row.created_at,
    createdBy: row.created_by,
    expiresAt: row.expires_at,
  };
}
