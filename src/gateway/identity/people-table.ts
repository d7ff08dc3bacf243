/** People whose keys may come in: name, role, and when they were last here. A revoked one stays, so that its key stays refused. */

import type { PersonRole } from '../../domain/vocabulary.ts';
import type { NodesStore } from '../nodes/nodes-table.ts';
import type { Sqlite } from '../store/database.ts';
import { MAX_MEANT, prefixBounds } from '../store/look-up.ts';
import type { EpochsTable } from './epochs-table.ts';
import type { InvitesTable } from './invites-table.ts';

export interface PersonRecord {
  id: string;
  /** Unique among those that are not revoked. */
  name: string;
  role: PersonRole;
  publicKey: Buffer;
  createdAt: number;
  lastSeenAt: number | null;
  revokedAt: number | null;
}

interface Row {
  id: string;
  name: string;
  role: PersonRole;
  public_key: Buffer;
  created_at: number;
  last_seen_at: number | null;
  revoked_at: number | null;
}

export class PeopleTable {
  readonly #statements;

  constructor(database: Sqlite) {
    this.#statements = {
      insert: database.prepare('INSERT INTO people (id, name, role, public_key, created_at) VALUES (?, ?, ?, ?, ?)'),
      all: database.prepare('SELECT * FROM people ORDER BY name, created_at'),
      byId: database.prepare('SELECT * FROM people WHERE id = ?'),
      byIdPrefix: database.prepare(`SELECT * FROM people WHERE id >= ? AND id < ? ORDER BY id LIMIT ${MAX_MEANT}`),
      byKey: database.prepare('SELECT * FROM people WHERE public_key = ?'),
      byName: database.prepare('SELECT * FROM people WHERE name = ? AND revoked_at IS NULL'),
      role: database.prepare('UPDATE people SET role = ? WHERE id = ?'),
      seen: database.prepare('UPDATE people SET last_seen_at = ? WHERE id = ?'),
      revoke: database.prepare('UPDATE people SET revoked_at = ? WHERE id = ? AND revoked_at IS NULL'),
    };
  }

  insert(person: Omit<PersonRecord, 'lastSeenAt' | 'revokedAt'>): void {
    const { id, name, role, publicKey, createdAt } = person;
    this.#statements.insert.run(id, name, role, publicKey, createdAt);
  }

  /** Revoked ones, too. */
  all(): PersonRecord[] {
    return (this.#statements.all.all() as Row[]).map(toRecord);
  }

  byId(id: string): PersonRecord | undefined {
    return toOptional(this.#statements.byId.get(id));
  }

  byIdPrefix(prefix: string): PersonRecord[] {
    return (this.#statements.byIdPrefix.all(...prefixBounds(prefix)) as Row[]).map(toRecord);
  }

  byPublicKey(publicKey: Uint8Array): PersonRecord | undefined {
    return toOptional(this.#statements.byKey.get(publicKey));
  }

  /** The one of that name who is not revoked. */
  byName(name: string): PersonRecord | undefined {
    return toOptional(this.#statements.byName.get(name));
  }

  setRole(id: string, role: PersonRole): void {
    this.#statements.role.run(role, id);
  }

  setSeen(id: string, at: number): void {
    this.#statements.seen.run(at, id);
  }

  revoke(id: string, at: number): void {
    this.#statements.revoke.run(at, id);
  }
}

function toOptional(row: unknown): PersonRecord | undefined {
  return row === undefined ? undefined : toRecord(row as Row);
}

function toRecord(row: Row): PersonRecord {
  return {
    id: row.id,
    name: row.name,
    role: row.role,
    publicKey: row.public_key,
    createdAt: row.created_at,
    lastSeenAt: row.last_seen_at,
    revokedAt: row.revoked_at,
  };
}

/** The store as this folder, and those above it, see it. */
export interface IdentityStore extends NodesStore {
  readonly epochs: EpochsTable;
  readonly people: PeopleTable;
  readonly invites: InvitesTable;
}
