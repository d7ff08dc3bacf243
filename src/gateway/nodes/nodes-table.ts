/** Paired nodes: identity, name, labels and when they were last seen. */
import type { Labels } from '../../domain/names.ts';
import { type NodeFacts, nodeFactsSchema } from '../../protocol/node-messages.ts';
import type { AuditStore } from '../audit/audit-log.ts';
import { prepareAll, type Sqlite } from '../store/database.ts';
import { MAX_MEANT, prefixBounds } from '../store/look-up.ts';
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

export class NodesTable {
  readonly #statements;
  readonly #facts = new Map<string, { text: string; facts: NodeFacts | null }>();

  constructor(database: Sqlite) {
    this.#statements = prepareAll(database, {
      insert: `INSERT INTO nodes (id, name, public_key, own_labels, labels, facts, capabilities, ephemeral, created_at)
         VALUES (@id, @name, @publicKey, @ownLabels, @labels, @facts, @capabilities, @ephemeral, @createdAt)`,
      all: `${SELECT} ORDER BY name`,
      ephemeral: `${SELECT} WHERE ephemeral = 1 ORDER BY name`,
      byId: `${SELECT} WHERE id = ?`,
      byIdPrefix: `${SELECT} WHERE id >= ? AND id < ? ORDER BY id LIMIT ${MAX_MEANT}`,
      names: 'SELECT name FROM nodes',
      byKey: `${SELECT} WHERE public_key = ?`,
      byName: `${SELECT} WHERE name = ?`,
      rename: 'UPDATE nodes SET name = ? WHERE id = ?',
      ownLabels: 'UPDATE nodes SET own_labels = ? WHERE id = ?',
      overrides: 'SELECT labels FROM nodes WHERE id = ?',
      label: 'UPDATE nodes SET labels = ? WHERE id = ?',
      facts: 'UPDATE nodes SET facts = ?, capabilities = ? WHERE id = ?',
      claim: 'UPDATE nodes SET claim = ? WHERE id = ?',
      refuse: 'UPDATE nodes SET refused_claim = ? WHERE id = ?',
      claiming: `${SELECT} WHERE claim IS NOT NULL ORDER BY name`,
      seen: 'UPDATE nodes SET last_seen_at = ? WHERE id = ?',
      replaceKey: 'UPDATE nodes SET public_key = @newKey WHERE id = @id AND public_key = @oldKey',
      retireKey: 'INSERT INTO retired_node_keys (public_key, node_id, retired_at) VALUES (?, ?, ?)',
      formerKey: `SELECT name, 'replaced' AS fate FROM retired_node_keys JOIN nodes ON nodes.id = node_id WHERE retired_node_keys.public_key = @key
         UNION ALL SELECT name, 'removed' FROM removed_node_keys WHERE public_key = @key`,
      bury: `INSERT OR REPLACE INTO removed_node_keys (public_key, name, removed_at, node_id)
         SELECT public_key, name, @at, id FROM nodes WHERE id = @id
         UNION ALL SELECT r.public_key, name, @at, NULL FROM retired_node_keys r JOIN nodes ON nodes.id = node_id WHERE node_id = @id`,
      removedId: 'SELECT name FROM removed_node_keys WHERE node_id >= ? AND node_id < ? LIMIT 1',
      unbury: 'DELETE FROM removed_node_keys WHERE public_key = ?',
      pruneBuried: `DELETE FROM removed_node_keys WHERE removed_at < ? OR public_key IN
         (SELECT public_key FROM removed_node_keys ORDER BY removed_at DESC LIMIT -1 OFFSET ${MAX_TOMBSTONES})`,
      revoke: 'UPDATE nodes SET revoked_at = ? WHERE id = ?',
      remove: 'DELETE FROM nodes WHERE id = ?',
    });
  }

  insert({ id, name, publicKey, ownLabels, labels, facts, ephemeral, createdAt, capabilities }: NewNode): void {
    this.#statements.unbury.run(publicKey);
    this.#statements.insert.run({
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
  }

  all(): NodeRecord[] {
    return this.#select('all');
  }

  ephemeral(): NodeRecord[] {
    return this.#select('ephemeral');
  }

  byId(id: string): NodeRecord | undefined {
    return this.#select('byId', id)[0];
  }

  byIdPrefix(prefix: string): NodeRecord[] {
    return this.#select('byIdPrefix', ...prefixBounds(prefix));
  }

  /** Name of a removed node whose id starts with `prefix`. */
  removedByIdPrefix(prefix: string): string | undefined {
    return (this.#statements.removedId.get(...prefixBounds(prefix)) as { name: string } | undefined)?.name;
  }

  names(): string[] {
    return (this.#statements.names.all() as { name: string }[]).map(({ name }) => name);
  }

  byPublicKey(publicKey: Uint8Array): NodeRecord | undefined {
    return this.#select('byKey', publicKey)[0];
  }

  byName(name: string): NodeRecord | undefined {
    return this.#select('byName', name)[0];
  }

  rename(id: string, name: string): void {
    this.#statements.rename.run(name, id);
  }

  /** Nodes with a pending claim, by name. */
  claiming(): NodeRecord[] {
    return this.#select('claiming');
  }

  /** The approved ones of the labels that the node gives itself. */
  setOwnLabels(id: string, labels: Labels): void {
    this.#statements.ownLabels.run(JSON.stringify(labels), id);
  }

  /** Merges `changes` into the operator's overrides; null removes a label. */
  changeLabels(id: string, changes: LabelOverrides): void {
    const row = this.#statements.overrides.get(id) as { labels: string } | undefined;
    if (row === undefined) return;
    const present = JSON.parse(row.labels) as LabelOverrides;
    this.#statements.label.run(JSON.stringify({ ...present, ...changes }), id);
  }

  setFacts(id: string, facts: NodeFacts, approvedCapabilities: readonly string[] = facts.capabilities): void {
    this.#statements.facts.run(JSON.stringify(facts), JSON.stringify(approvedCapabilities), id);
  }

  setClaim(id: string, claim: NodeClaim | null): void {
    this.#statements.claim.run(claim === null ? null : JSON.stringify(claim), id);
  }

  setRefusedClaim(id: string, refused: NodeRecord['refusedClaim']): void {
    this.#statements.refuse.run(JSON.stringify(refused), id);
  }

  setSeen(id: string, at: number): void {
    this.#statements.seen.run(at, id);
  }

  revoke(id: string, at: number): void {
    this.#statements.revoke.run(at, id);
  }

  /** Replaces `oldKey`, which is refused from then on. Returns false, and changes nothing, if the node has another key. */
  replaceKey(id: string, oldKey: Buffer, newKey: Buffer, at: number): boolean {
    if (this.#statements.replaceKey.run({ id, oldKey, newKey }).changes === 0) return false;
    this.#statements.retireKey.run(oldKey, id, at);
    return true;
  }

  formerKey(publicKey: Uint8Array): FormerKey | undefined {
    return this.#statements.formerKey.get({ key: publicKey }) as FormerKey | undefined;
  }

  /** Deletes its heartbeats and sessions, too; jobs keep the name in their runs. Its keys are remembered for a while as removed. */
  remove(id: string, at: number): void {
    this.#statements.bury.run({ id, at });
    this.#statements.pruneBuried.run(at - TOMBSTONE_MAX_AGE_MS);
    this.#statements.remove.run(id);
    this.#facts.delete(id);
  }

  #select(name: 'all' | 'ephemeral' | 'byId' | 'byIdPrefix' | 'byKey' | 'byName' | 'claiming', ...keys: unknown[]) {
    return (this.#statements[name].all(...keys) as Row[]).map((row): NodeRecord => {
      const ownLabels = JSON.parse(row.ownLabels) as Labels;
      const labelOverrides = JSON.parse(row.labelOverrides) as LabelOverrides;
      return {
        ...row,
        labels: withoutNulls({ ...ownLabels, ...labelOverrides }),
        ownLabels,
        labelOverrides,
        facts: this.#factsOf(row),
        approvedCapabilities: JSON.parse(row.approvedCapabilities) as string[],
        claim: row.claim === null ? null : (JSON.parse(row.claim) as NodeClaim),
        refusedClaim: JSON.parse(row.refusedClaim) as NodeRecord['refusedClaim'],
        ephemeral: row.ephemeral === 1,
      };
    });
  }

  /** Parsed once per text, because every route needs them. Earlier versions stored facts without a limit; oversized ones are left out. */
  #factsOf({ id, facts: text }: Row): NodeFacts | null {
    if (text === null || text.length > MAX_FACTS_LENGTH) return null;
    const known = this.#facts.get(id);
    if (known?.text === text) return known.facts;
    const facts = nodeFactsSchema.safeParse(JSON.parse(text)).data ?? null;
    this.#facts.set(id, { text, facts });
    return facts;
  }
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
