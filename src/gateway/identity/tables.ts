/** The tables of people, of invites, and of epochs. Times are ms. */
import type { Labels } from '../../domain/names.ts';
import type { PersonRole, Role } from '../../domain/vocabulary.ts';
import type { Clock } from '../../shared/clock.ts';
import type { Logger } from '../../shared/logger.ts';
import type { NodesStore } from '../nodes/nodes-table.ts';
import type { Sqlite } from '../store/database.ts';
import { MAX_MEANT, prefixBounds } from '../store/look-up.ts';
import { statementsOf } from '../store/statements.ts';

/** The store as identity, and the folders above it, see it. */
export interface IdentityStore extends NodesStore {
  readonly epochs: EpochsTable;
  readonly people: PeopleTable;
  readonly invites: InvitesTable;
}

export interface IdentityContext {
  store: IdentityStore;
  clock: Clock;
  logger: Logger;
}

/** Revoked people stay, so that their keys stay refused. */
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

export type PeopleTable = ReturnType<typeof peopleTable>;

export function peopleTable(database: Sqlite) {
  const { all, get, run } = statementsOf(database);
  const select = `SELECT id, name, role, public_key AS publicKey, created_at AS createdAt, last_seen_at AS lastSeenAt,
    revoked_at AS revokedAt FROM people`;
  const between = all<PersonRecord, [from: string, below: string]>(
    `${select} WHERE id >= ? AND id < ? ORDER BY id LIMIT ${MAX_MEANT}`,
  );
  return {
    insert: run<[Omit<PersonRecord, 'lastSeenAt' | 'revokedAt'>]>(
      'INSERT INTO people (id, name, role, public_key, created_at) VALUES (@id, @name, @role, @publicKey, @createdAt)',
    ),
    /** Including revoked people. */
    all: all<PersonRecord>(`${select} ORDER BY name, created_at`),
    byId: get<PersonRecord, [id: string]>(`${select} WHERE id = ?`),
    byIdPrefix: (prefix: string) => between(...prefixBounds(prefix)),
    byPublicKey: get<PersonRecord, [publicKey: Uint8Array]>(`${select} WHERE public_key = ?`),
    /** Not revoked. */
    byName: get<PersonRecord, [name: string]>(`${select} WHERE name = ? AND revoked_at IS NULL`),
    setRole: run<[{ id: string; role: PersonRole }]>('UPDATE people SET role = @role WHERE id = @id'),
    setSeen: run<[{ id: string; at: number }]>('UPDATE people SET last_seen_at = @at WHERE id = @id'),
    revoke: run<[{ id: string; at: number }]>(
      'UPDATE people SET revoked_at = @at WHERE id = @id AND revoked_at IS NULL',
    ),
  };
}

/** Failed attempts that invalidate an invite: its id has leaked. */
export const MAX_INVITE_FAILURES = 5;

/** Spent ones stay for a while. The secret is stored as it is: the gateway must prove that it knows it. */
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

type StoredInvite = Omit<InviteRecord, 'labels' | 'ephemeral'> & { labels: string; ephemeral: number };

export type InvitesTable = ReturnType<typeof invitesTable>;

export function invitesTable(database: Sqlite) {
  const { all, get, run } = statementsOf(database);
  const select = `SELECT id, secret, name, role, labels, ephemeral, uses_left AS usesLeft, failures, created_at AS createdAt,
    created_by AS createdBy, expires_at AS expiresAt FROM invites`;
  const toRecord = (row: StoredInvite): InviteRecord => ({
    ...row,
    labels: JSON.parse(row.labels) as Labels,
    ephemeral: row.ephemeral === 1,
  });
  const insert = run<[Omit<StoredInvite, 'failures'>]>(
    `INSERT INTO invites (id, secret, name, role, labels, ephemeral, uses_left, created_at, created_by, expires_at)
     VALUES (@id, @secret, @name, @role, @labels, @ephemeral, @usesLeft, @createdAt, @createdBy, @expiresAt)`,
  );
  const byId = get<StoredInvite, [id: string]>(`${select} WHERE id = ?`);
  const rows = all<StoredInvite>(`${select} ORDER BY created_at`);
  const use = run<[id: string, now: number]>(
    `UPDATE invites SET uses_left = uses_left - 1
     WHERE id = ? AND uses_left > 0 AND expires_at > ? AND failures < ${MAX_INVITE_FAILURES}`,
  );
  return {
    insert: (invite: Omit<InviteRecord, 'failures'>) =>
      insert({ ...invite, labels: JSON.stringify(invite.labels), ephemeral: Number(invite.ephemeral) }),
    byId: (id: string): InviteRecord | undefined => {
      const row = byId(id);
      return row && toRecord(row);
    },
    /** Oldest first, including spent ones. */
    all: () => rows().map(toRecord),
    /** Takes one use; false if none is left, or it has expired at `now` or been invalidated. */
    use: (id: string, now: number) => use(id, now) === 1,
    countFailure: run<[id: string]>('UPDATE invites SET failures = failures + 1 WHERE id = ?'),
    /** Admits nobody from `now` on. */
    revoke: run<[{ id: string; now: number }]>('UPDATE invites SET expires_at = min(expires_at, @now) WHERE id = @id'),
    /** Deletes those that expired before that time. */
    prune: run<[expiredBefore: number]>('DELETE FROM invites WHERE expires_at <= ?'),
  };
}

/** A machine that connected with a node's key. */
export interface Sighting {
  address: string;
  hostname: string;
  /** Hash of the machine's id; null if the system has none. */
  machineId: string | null;
  at: number;
}

export interface CloneSuspicion {
  /** What was presented: an earlier epoch, one that the gateway never issued, or none. */
  kind: 'behind' | 'ahead' | 'missing';
  since: number;
  count: number;
  /** The machine that presented it, most recently. */
  late: Sighting;
  /** The machine that had connected before it. */
  before: Sighting;
}

/** What a node must present when it connects next, who did so last, and whether two machines seem to use its key. */
export interface EpochRecord {
  nodeId: string;
  /** What the node is known to have. */
  confirmed: string | null;
  /** What it was issued, and may have. */
  offered: string | null;
  /** How often another epoch than these was presented; earlier runs are not asked for since. */
  branch: number;
  holder: Sighting;
  suspicion: CloneSuspicion | null;
}

type StoredEpoch = Omit<EpochRecord, 'holder' | 'suspicion'> & { holder: string; suspicion: string | null };

export type EpochsTable = ReturnType<typeof epochsTable>;

export function epochsTable(database: Sqlite) {
  const { all, get, run } = statementsOf(database);
  const select = 'SELECT node_id AS nodeId, confirmed, offered, branch, holder, suspicion FROM connect_epochs';
  const toRecord = (row: StoredEpoch): EpochRecord => ({
    ...row,
    holder: JSON.parse(row.holder) as Sighting,
    suspicion: row.suspicion === null ? null : (JSON.parse(row.suspicion) as CloneSuspicion),
  });
  const byNode = get<StoredEpoch, [nodeId: string]>(`${select} WHERE node_id = ?`);
  const suspected = all<StoredEpoch>(`${select} WHERE suspicion IS NOT NULL`);
  const put = run<[StoredEpoch]>(
    `INSERT INTO connect_epochs (node_id, confirmed, offered, branch, holder, suspicion)
     VALUES (@nodeId, @confirmed, @offered, @branch, @holder, @suspicion)
     ON CONFLICT (node_id) DO UPDATE SET confirmed = excluded.confirmed, offered = excluded.offered,
       branch = excluded.branch, holder = excluded.holder, suspicion = excluded.suspicion`,
  );
  return {
    get: (nodeId: string): EpochRecord | undefined => {
      const row = byNode(nodeId);
      return row && toRecord(row);
    },
    suspected: () => suspected().map(toRecord),
    put: ({ holder, suspicion, ...rest }: EpochRecord) =>
      put({ ...rest, holder: JSON.stringify(holder), suspicion: suspicion && JSON.stringify(suspicion) }),
    /** Does nothing if the node was offered another since. */
    confirm: run<[nodeId: string, offered: string]>(
      'UPDATE connect_epochs SET confirmed = offered, offered = NULL WHERE node_id = ? AND offered = ?',
    ),
    clearSuspicion: run<[nodeId: string]>('UPDATE connect_epochs SET suspicion = NULL WHERE node_id = ?'),
  };
}
