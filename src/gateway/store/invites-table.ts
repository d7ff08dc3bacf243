/** Invites that were made and not yet used up. The secret is kept as it is: the gateway must prove that it knows it. */
import type { Labels } from '../../protocol/names.ts';
import type { Role } from '../../protocol/roles.ts';
import type { Sqlite } from './database.ts';

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
      remove: database.prepare('DELETE FROM invites WHERE id = ?'),
      use: database.prepare(
        'UPDATE invites SET uses_left = uses_left - 1 WHERE id = ? AND uses_left > 0 AND expires_at > ?',
      ),
      fail: database.prepare('UPDATE invites SET failures = failures + 1 WHERE id = ?'),
      prune: database.prepare('DELETE FROM invites WHERE expires_at <= ? OR uses_left <= 0 OR failures >= ?'),
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

  /** Oldest first; also those that can never be used again and were not pruned yet. */
  all(): InviteRecord[] {
    return (this.#statements.all.all() as Row[]).map(toRecord);
  }

  remove(id: string): void {
    this.#statements.remove.run(id);
  }

  /** Takes one use; false when none was left or it has expired at `now`. */
  use(id: string, now: number): boolean {
    return this.#statements.use.run(id, now).changes === 1;
  }

  countFailure(id: string): void {
    this.#statements.fail.run(id);
  }

  /** Deletes what can never be used again. */
  prune(now: number, maxFailures: number): void {
    this.#statements.prune.run(now, maxFailures);
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
