/** The table of people: name, role, key, and when they were last seen. Revoked people stay, so that their keys stay refused. */
import type { PersonRole } from '../../domain/vocabulary.ts';
import type { NodesStore } from '../nodes/nodes-table.ts';
import type { Sqlite } from '../store/database.ts';
import { MAX_MEANT, prefixBounds } from '../store/look-up.ts';
import type { EpochsTable } from './epochs-table.ts';
import type { InvitesTable } from './invites-table.ts';

export interface PersonRecord {
  id: string;
  /** Unique among those not revoked. */
  name: string;
  role: PersonRole;
  publicKey: Buffer;
  createdAt: number;
  lastSeenAt: number | null;
  revokedAt: number | null;
}

const COLUMNS = `id, name, role, public_key AS publicKey, created_at AS createdAt, last_seen_at AS lastSeenAt,
  revoked_at AS revokedAt`;

export class PeopleTable {
  readonly #statements;

  constructor(database: Sqlite) {
    const select = (where: string) => database.prepare(`SELECT ${COLUMNS} FROM people ${where}`);
    this.#statements = {
      insert: database.prepare(
        `INSERT INTO people (id, name, role, public_key, created_at) VALUES (@id, @name, @role, @publicKey, @createdAt)`,
      ),
      all: select('ORDER BY name, created_at'),
      byId: select('WHERE id = ?'),
      byIdPrefix: select(`WHERE id >= ? AND id < ? ORDER BY id LIMIT ${MAX_MEANT}`),
      byKey: select('WHERE public_key = ?'),
      byName: select('WHERE name = ? AND revoked_at IS NULL'),
      role: database.prepare('UPDATE people SET role = ? WHERE id = ?'),
      seen: database.prepare('UPDATE people SET last_seen_at = ? WHERE id = ?'),
      revoke: database.prepare('UPDATE people SET revoked_at = ? WHERE id = ? AND revoked_at IS NULL'),
    };
  }

  insert(person: Omit<PersonRecord, 'lastSeenAt' | 'revokedAt'>): void {
    this.#statements.insert.run(person);
  }

  /** Including revoked people. */
  all(): PersonRecord[] {
    return this.#statements.all.all() as PersonRecord[];
  }

  byId(id: string): PersonRecord | undefined {
    return this.#statements.byId.get(id) as PersonRecord | undefined;
  }

  byIdPrefix(prefix: string): PersonRecord[] {
    return this.#statements.byIdPrefix.all(...prefixBounds(prefix)) as PersonRecord[];
  }

  byPublicKey(publicKey: Uint8Array): PersonRecord | undefined {
    return this.#statements.byKey.get(publicKey) as PersonRecord | undefined;
  }

  /** Not revoked. */
  byName(name: string): PersonRecord | undefined {
    return this.#statements.byName.get(name) as PersonRecord | undefined;
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

/** The store as identity, and the folders above it, see it. */
export interface IdentityStore extends NodesStore {
  readonly epochs: EpochsTable;
  readonly people: PeopleTable;
  readonly invites: InvitesTable;
}
