/** Paired nodes: identity, name, labels and when they were last seen. */
import type { Labels } from '../../domain/names.ts';
import { type NodeFacts, nodeFactsSchema } from '../../protocol/node-messages.ts';
import type { AuditStore } from '../audit/audit-log.ts';
import type { Sqlite } from '../store/database.ts';
import { MAX_MEANT, prefixBounds } from '../store/look-up.ts';
import { statementsOf } from '../store/statements.ts';
import type { SessionsTable } from './sessions-table.ts';

/** How long a removed node's key is remembered, ms. */
const TOMBSTONE_MAX_AGE_MS = 365 * 86_400_000;
/** Removed keys remembered at most: ephemeral nodes may come and go by the thousand. */
const MAX_TOMBSTONES = 10_000;

/** Labels set by an operator; null removes one that the node gives itself. */
export type LabelOverrides = Record<string, string | null>;

/** What a node claims about itself and no admin has approved. */
export interface NodeClaim {
  /** All its own labels, as it wants them; absent if it accepts those in force. */
  labels?: Labels;
  capabilities: string[];
  at: number;
}

interface NewNode extends Pick<NodeRecord, 'id' | 'name' | 'publicKey' | 'facts' | 'createdAt' | 'ownLabels'> {
  labels: LabelOverrides;
  ephemeral?: boolean;
  /** By default those of its facts. */
  capabilities?: string[];
}

export interface NodeRecord {
  id: string;
  name: string;
  publicKey: Buffer;
  /** In force: the node's own labels, overridden by the operator's. */
  labels: Labels;
  ownLabels: Labels;
  labelOverrides: LabelOverrides;
  facts: NodeFacts | null;
  approvedCapabilities: string[];
  claim: NodeClaim | null;
  refusedClaim: Omit<NodeClaim, 'at'>;
  /** Removed after a time offline. */
  ephemeral: boolean;
  createdAt: number;
  lastSeenAt: number | null;
  revokedAt: number | null;
}

/** A key that used to be a node's. */
export interface FormerKey {
  name: string;
  fate: 'replaced' | 'removed';
}

/** As stored: some columns are JSON. */
interface Row extends Pick<NodeRecord, 'id' | 'name' | 'publicKey' | 'createdAt' | 'lastSeenAt' | 'revokedAt'> {
  ownLabels: string;
  labelOverrides: string;
  facts: string | null;
  approvedCapabilities: string;
  claim: string | null;
  refusedClaim: string;
  ephemeral: number;
}

const SELECT = `SELECT id, name, public_key AS publicKey, own_labels AS ownLabels, labels AS labelOverrides, facts,
  capabilities AS approvedCapabilities, claim, refused_claim AS refusedClaim, ephemeral, created_at AS createdAt,
  last_seen_at AS lastSeenAt, revoked_at AS revokedAt FROM nodes`;

/** Longest facts as JSON: 256 capabilities and agent limits with long names, UTF-16 units. */
const MAX_FACTS_LENGTH = 128 * 1024;

export type NodesTable = ReturnType<typeof nodesTable>;

export function nodesTable(database: Sqlite) {
  const { all, get, run } = statementsOf(database);
  const known = new Map<string, { text: string; facts: NodeFacts | null }>();

  /** Parsed once per text, because every route needs them. Earlier versions stored facts without a limit; oversized ones are left out. */
  const factsOf = ({ id, facts: text }: Row): NodeFacts | null => {
    if (text === null || text.length > MAX_FACTS_LENGTH) return null;
    const present = known.get(id);
    if (present?.text === text) return present.facts;
    const facts = nodeFactsSchema.safeParse(JSON.parse(text)).data ?? null;
    known.set(id, { text, facts });
    return facts;
  };
  const toRecord = (row: Row): NodeRecord => {
    const ownLabels = JSON.parse(row.ownLabels) as Labels;
    const labelOverrides = JSON.parse(row.labelOverrides) as LabelOverrides;
    return {
      ...row,
      labels: withoutNulls({ ...ownLabels, ...labelOverrides }),
      ownLabels,
      labelOverrides,
      facts: factsOf(row),
      approvedCapabilities: JSON.parse(row.approvedCapabilities) as string[],
      claim: row.claim === null ? null : (JSON.parse(row.claim) as NodeClaim),
      refusedClaim: JSON.parse(row.refusedClaim) as NodeRecord['refusedClaim'],
      ephemeral: row.ephemeral === 1,
    };
  };
  const list = <A extends unknown[] = []>(where: string) => {
    const rows = all<Row, A>(`${SELECT} ${where}`);
    return (...parameters: A): NodeRecord[] => rows(...parameters).map(toRecord);
  };
  const one = <K>(where: string) => {
    const row = get<Row, [key: K]>(`${SELECT} ${where}`);
    return (key: K): NodeRecord | undefined => {
      const found = row(key);
      return found && toRecord(found);
    };
  };
  const set = <V>(column: string) => {
    const update = run<[value: V, id: string]>(`UPDATE nodes SET ${column} = ? WHERE id = ?`);
    return (id: string, value: V) => update(value, id);
  };

  const names = all<{ name: string }>('SELECT name FROM nodes');
  const byIdPrefix = list<[from: string, below: string]>(`WHERE id >= ? AND id < ? ORDER BY id LIMIT ${MAX_MEANT}`);
  const removedId = get<{ name: string }, [from: string, below: string]>(
    'SELECT name FROM removed_node_keys WHERE node_id >= ? AND node_id < ? LIMIT 1',
  );
  const insert = run<[object]>(
    `INSERT INTO nodes (id, name, public_key, own_labels, labels, facts, capabilities, ephemeral, created_at)
     VALUES (@id, @name, @publicKey, @ownLabels, @labels, @facts, @capabilities, @ephemeral, @createdAt)`,
  );
  const overrides = get<{ labels: string }, [id: string]>('SELECT labels FROM nodes WHERE id = ?');
  const setLabels = set<string>('labels');
  const setOwnLabels = set<string>('own_labels');
  const setClaim = set<string | null>('claim');
  const setRefusedClaim = set<string>('refused_claim');
  const setFacts = run<[facts: string, capabilities: string, id: string]>(
    'UPDATE nodes SET facts = ?, capabilities = ? WHERE id = ?',
  );
  const replaceKey = run<[{ id: string; oldKey: Buffer; newKey: Buffer }]>(
    'UPDATE nodes SET public_key = @newKey WHERE id = @id AND public_key = @oldKey',
  );
  const retireKey = run<[key: Buffer, id: string, at: number]>(
    'INSERT INTO retired_node_keys (public_key, node_id, retired_at) VALUES (?, ?, ?)',
  );
  const formerKey = get<FormerKey, [{ key: Uint8Array }]>(
    `SELECT name, 'replaced' AS fate FROM retired_node_keys JOIN nodes ON nodes.id = node_id WHERE retired_node_keys.public_key = @key
     UNION ALL SELECT name, 'removed' FROM removed_node_keys WHERE public_key = @key`,
  );
  const bury = run<[{ id: string; at: number }]>(
    `INSERT OR REPLACE INTO removed_node_keys (public_key, name, removed_at, node_id)
     SELECT public_key, name, @at, id FROM nodes WHERE id = @id
     UNION ALL SELECT r.public_key, name, @at, NULL FROM retired_node_keys r JOIN nodes ON nodes.id = node_id WHERE node_id = @id`,
  );
  const unbury = run<[publicKey: Buffer]>('DELETE FROM removed_node_keys WHERE public_key = ?');
  const pruneBuried = run<[before: number]>(
    `DELETE FROM removed_node_keys WHERE removed_at < ? OR public_key IN
     (SELECT public_key FROM removed_node_keys ORDER BY removed_at DESC LIMIT -1 OFFSET ${MAX_TOMBSTONES})`,
  );
  const remove = run<[id: string]>('DELETE FROM nodes WHERE id = ?');

  return {
    insert({ id, name, publicKey, ownLabels, labels, facts, ephemeral, createdAt, capabilities }: NewNode): void {
      unbury(publicKey);
      insert({
        id,
        name,
        publicKey,
        ownLabels: JSON.stringify(ownLabels),
        labels: JSON.stringify(labels),
        facts: facts === null ? null : JSON.stringify(facts),
        capabilities: JSON.stringify(capabilities ?? facts?.capabilities ?? []),
        ephemeral: ephemeral ? 1 : 0,
        createdAt,
      });
    },
    /** All by name, as the other lists. */
    all: list('ORDER BY name'),
    ephemeral: list('WHERE ephemeral = 1 ORDER BY name'),
    /** Nodes with a pending claim. */
    claiming: list('WHERE claim IS NOT NULL ORDER BY name'),
    byId: one<string>('WHERE id = ?'),
    byName: one<string>('WHERE name = ?'),
    byPublicKey: one<Uint8Array>('WHERE public_key = ?'),
    byIdPrefix: (prefix: string) => byIdPrefix(...prefixBounds(prefix)),
    /** Name of a removed node whose id starts with `prefix`. */
    removedByIdPrefix: (prefix: string) => removedId(...prefixBounds(prefix))?.name,
    names: () => names().map(({ name }) => name),
    rename: set<string>('name'),
    /** The approved ones of the labels that the node gives itself. */
    setOwnLabels: (id: string, labels: Labels) => setOwnLabels(id, JSON.stringify(labels)),
    /** Merges `changes` into the operator's overrides; null removes a label. */
    changeLabels(id: string, changes: LabelOverrides): void {
      const row = overrides(id);
      if (row !== undefined)
        setLabels(id, JSON.stringify({ ...(JSON.parse(row.labels) as LabelOverrides), ...changes }));
    },
    setFacts: (id: string, facts: NodeFacts, approved: readonly string[] = facts.capabilities) =>
      setFacts(JSON.stringify(facts), JSON.stringify(approved), id),
    setClaim: (id: string, claim: NodeClaim | null) => setClaim(id, claim && JSON.stringify(claim)),
    setRefusedClaim: (id: string, refused: NodeRecord['refusedClaim']) => setRefusedClaim(id, JSON.stringify(refused)),
    setSeen: set<number>('last_seen_at'),
    revoke: set<number>('revoked_at'),
    /** Replaces `oldKey`, which is refused from then on. Returns false, and changes nothing, if the node has another key. */
    replaceKey(id: string, oldKey: Buffer, newKey: Buffer, at: number): boolean {
      if (replaceKey({ id, oldKey, newKey }) === 0) return false;
      retireKey(oldKey, id, at);
      return true;
    },
    formerKey: (publicKey: Uint8Array) => formerKey({ key: publicKey }),
    /** Deletes its heartbeats and sessions, too; jobs keep the name in their runs. Its keys are remembered for a while as removed. */
    remove(id: string, at: number): void {
      bury({ id, at });
      pruneBuried(at - TOMBSTONE_MAX_AGE_MS);
      remove(id);
      known.delete(id);
    },
  };
}

/** The node's approved capabilities. */
export function usableCapabilities({ facts, approvedCapabilities }: NodeRecord): string[] {
  const approved = new Set(approvedCapabilities);
  return (facts?.capabilities ?? []).filter((capability) => approved.has(capability));
}

export function withoutNulls(labels: LabelOverrides): Labels {
  return Object.fromEntries(Object.entries(labels).filter((entry): entry is [string, string] => entry[1] !== null));
}

/** The store as this folder, and those above it, see it. */
export interface NodesStore extends AuditStore {
  readonly nodes: NodesTable;
  readonly sessions: SessionsTable;
}
