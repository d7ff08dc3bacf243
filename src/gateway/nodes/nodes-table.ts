/** Paired nodes: identity, name, labels and when they were last seen. */

import type { Labels } from '../../domain/names.ts';
import { type NodeFacts, nodeFactsSchema } from '../../protocol/node-messages.ts';
import type { AuditStore } from '../audit/audit-log.ts';
import type { Sqlite } from '../store/database.ts';
import { MAX_MEANT, prefixBounds } from '../store/look-up.ts';
import type { SessionsTable } from './sessions-table.ts';

/** How long a removed node's key is remembered, ms; after that it is an unknown key. */
const TOMBSTONE_MAX_AGE_MS = 365 * 86_400_000;
/** Most removed keys remembered: ephemeral nodes may come and go by the thousand. */
const MAX_TOMBSTONES = 10_000;

/** Labels that an operator gave; null takes one away that the node gives itself. */
export type LabelOverrides = Record<string, string | null>;

/** What a node says of itself and an admin has not let through. */
export interface NodeClaim {
  /** All its own labels as it wants them; absent when it is content with those that count. */
  labels?: Labels;
  capabilities: string[];
  at: number;
}

export interface NewNode extends Pick<NodeRecord, 'id' | 'name' | 'publicKey' | 'facts' | 'createdAt' | 'ownLabels'> {
  labels: LabelOverrides;
  ephemeral?: boolean;
  /** Those of its facts when absent. */
  capabilities?: string[];
}

export interface NodeRecord {
  id: string;
  name: string;
  publicKey: Buffer;
  /** What counts: the node's own labels with the operator's laid over them. */
  labels: Labels;
  ownLabels: Labels;
  labelOverrides: LabelOverrides;
  facts: NodeFacts | null;
  approvedCapabilities: string[];
  claim: NodeClaim | null;
  refusedClaim: Omit<NodeClaim, 'at'>;
  /** Is forgotten after a time offline. */
  ephemeral: boolean;
  createdAt: number;
  lastSeenAt: number | null;
  revokedAt: number | null;
}

/** A key that was a node's once, and why it is not any more. */
export interface FormerKey {
  name: string;
  fate: 'replaced' | 'removed';
}

interface Row {
  id: string;
  name: string;
  public_key: Buffer;
  own_labels: string;
  labels: string;
  facts: string | null;
  capabilities: string;
  claim: string | null;
  refused_claim: string;
  ephemeral: number;
  created_at: number;
  last_seen_at: number | null;
  revoked_at: number | null;
}

/** Longest facts as JSON: 256 capabilities and limits of agents with long names, UTF-16 units. */
const MAX_FACTS_LENGTH = 128 * 1024;

export class NodesTable {
  readonly #statements;
  readonly #facts = new Map<string, { text: string; facts: NodeFacts | null }>();

  constructor(database: Sqlite) {
    this.#statements = {
      insert: database.prepare(
        `INSERT INTO nodes (id, name, public_key, own_labels, labels, facts, capabilities, ephemeral, created_at)
         VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)`,
      ),
      all: database.prepare('SELECT * FROM nodes ORDER BY name'),
      ephemeral: database.prepare('SELECT * FROM nodes WHERE ephemeral = 1 ORDER BY name'),
      byId: database.prepare('SELECT * FROM nodes WHERE id = ?'),
      byIdPrefix: database.prepare(`SELECT * FROM nodes WHERE id >= ? AND id < ? ORDER BY id LIMIT ${MAX_MEANT}`),
      names: database.prepare('SELECT name FROM nodes').pluck(),
      byKey: database.prepare('SELECT * FROM nodes WHERE public_key = ?'),
      byName: database.prepare('SELECT * FROM nodes WHERE name = ?'),
      rename: database.prepare('UPDATE nodes SET name = ? WHERE id = ?'),
      ownLabels: database.prepare('UPDATE nodes SET own_labels = ? WHERE id = ?'),
      overrides: database.prepare('SELECT labels FROM nodes WHERE id = ?'),
      label: database.prepare('UPDATE nodes SET labels = ? WHERE id = ?'),
      facts: database.prepare('UPDATE nodes SET facts = ?, capabilities = ? WHERE id = ?'),
      claim: database.prepare('UPDATE nodes SET claim = ? WHERE id = ?'),
      refuse: database.prepare('UPDATE nodes SET refused_claim = ? WHERE id = ?'),
      claiming: database.prepare('SELECT * FROM nodes WHERE claim IS NOT NULL ORDER BY name'),
      seen: database.prepare('UPDATE nodes SET last_seen_at = ? WHERE id = ?'),
      replaceKey: database.prepare('UPDATE nodes SET public_key = @newKey WHERE id = @id AND public_key = @oldKey'),
      retireKey: database.prepare('INSERT INTO retired_node_keys (public_key, node_id, retired_at) VALUES (?, ?, ?)'),
      formerKey: database.prepare(
        `SELECT name, 'replaced' AS fate FROM retired_node_keys JOIN nodes ON nodes.id = node_id WHERE retired_node_keys.public_key = @key
         UNION ALL SELECT name, 'removed' FROM removed_node_keys WHERE public_key = @key`,
      ),
      bury: database.prepare(
        `INSERT OR REPLACE INTO removed_node_keys (public_key, name, removed_at, node_id)
         SELECT public_key, name, @at, id FROM nodes WHERE id = @id
         UNION ALL SELECT r.public_key, name, @at, NULL FROM retired_node_keys r JOIN nodes ON nodes.id = node_id WHERE node_id = @id`,
      ),
      removedId: database
        .prepare('SELECT name FROM removed_node_keys WHERE node_id >= ? AND node_id < ? LIMIT 1')
        .pluck(),
      unbury: database.prepare('DELETE FROM removed_node_keys WHERE public_key = ?'),
      pruneBuried: database.prepare(
        `DELETE FROM removed_node_keys WHERE removed_at < ? OR public_key IN
         (SELECT public_key FROM removed_node_keys ORDER BY removed_at DESC LIMIT -1 OFFSET ${MAX_TOMBSTONES})`,
      ),
      revoke: database.prepare('UPDATE nodes SET revoked_at = ? WHERE id = ?'),
      remove: database.prepare('DELETE FROM nodes WHERE id = ?'),
    };
  }

  insert(node: NewNode): void {
    const { id, name, publicKey, ownLabels, labels, facts, ephemeral, createdAt } = node;
    this.#statements.unbury.run(publicKey);
    const { capabilities = facts?.capabilities ?? [] } = node;
    const factsText = facts === null ? null : JSON.stringify(facts);
    this.#statements.insert.run(
      id,
      name,
      publicKey,
      JSON.stringify(ownLabels),
      JSON.stringify(labels),
      factsText,
      JSON.stringify(capabilities),
      ephemeral ? 1 : 0,
      createdAt,
    );
  }

  all(): NodeRecord[] {
    return (this.#statements.all.all() as Row[]).map((row) => this.#toRecord(row));
  }

  ephemeral(): NodeRecord[] {
    return (this.#statements.ephemeral.all() as Row[]).map((row) => this.#toRecord(row));
  }

  byId(id: string): NodeRecord | undefined {
    return this.#toOptional(this.#statements.byId.get(id));
  }

  byIdPrefix(prefix: string): NodeRecord[] {
    return (this.#statements.byIdPrefix.all(...prefixBounds(prefix)) as Row[]).map((row) => this.#toRecord(row));
  }

  /** Name of a removed node whose id begins so. */
  removedByIdPrefix(prefix: string): string | undefined {
    return this.#statements.removedId.get(...prefixBounds(prefix)) as string | undefined;
  }

  names(): string[] {
    return this.#statements.names.all() as string[];
  }

  byPublicKey(publicKey: Uint8Array): NodeRecord | undefined {
    return this.#toOptional(this.#statements.byKey.get(publicKey));
  }

  byName(name: string): NodeRecord | undefined {
    return this.#toOptional(this.#statements.byName.get(name));
  }

  rename(id: string, name: string): void {
    this.#statements.rename.run(name, id);
  }

  /** Those with a claim that waits, by name. */
  claiming(): NodeRecord[] {
    return (this.#statements.claiming.all() as Row[]).map((row) => this.#toRecord(row));
  }

  /** Of the labels that the node gives itself, those that count. */
  setOwnLabels(id: string, labels: Labels): void {
    this.#statements.ownLabels.run(JSON.stringify(labels), id);
  }

  /** Lays `changes` over what the operator has set before; null takes a label away. */
  changeLabels(id: string, changes: LabelOverrides): void {
    const row = this.#statements.overrides.get(id) as { labels: string } | undefined;
    if (row === undefined) return;
    const present = JSON.parse(row.labels) as LabelOverrides;
    this.#statements.label.run(JSON.stringify({ ...present, ...changes }), id);
  }

  /** Of the capabilities in `facts`, only the approved ones count. */
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

  /** Puts `newKey` in the place of `oldKey`, which is refused from then on. False, and nothing changed, when the node has another. */
  replaceKey(id: string, oldKey: Buffer, newKey: Buffer, at: number): boolean {
    if (this.#statements.replaceKey.run({ id, oldKey, newKey }).changes === 0) return false;
    this.#statements.retireKey.run(oldKey, id, at);
    return true;
  }

  /** The node whose key this was once; undefined when it was nobody's. */
  formerKey(publicKey: Uint8Array): FormerKey | undefined {
    return this.#statements.formerKey.get({ key: publicKey }) as FormerKey | undefined;
  }

  /** Heartbeats and sessions go with it; jobs keep the name in their runs. Its keys are remembered for a while as removed ones. */
  remove(id: string, at: number): void {
    this.#statements.bury.run({ id, at });
    this.#statements.pruneBuried.run(at - TOMBSTONE_MAX_AGE_MS);
    this.#statements.remove.run(id);
    this.#facts.delete(id);
  }

  #toOptional(row: unknown): NodeRecord | undefined {
    return row === undefined ? undefined : this.#toRecord(row as Row);
  }

  #toRecord(row: Row): NodeRecord {
    const ownLabels = JSON.parse(row.own_labels) as Labels;
    const labelOverrides = JSON.parse(row.labels) as LabelOverrides;
    return {
      id: row.id,
      name: row.name,
      publicKey: row.public_key,
      labels: withoutNulls({ ...ownLabels, ...labelOverrides }),
      ownLabels,
      labelOverrides,
      facts: this.#factsOf(row),
      approvedCapabilities: JSON.parse(row.capabilities) as string[],
      claim: row.claim === null ? null : (JSON.parse(row.claim) as NodeClaim),
      refusedClaim: JSON.parse(row.refused_claim) as NodeRecord['refusedClaim'],
      ephemeral: row.ephemeral === 1,
      createdAt: row.created_at,
      lastSeenAt: row.last_seen_at,
      revokedAt: row.revoked_at,
    };
  }

  /** Read once for each text: every route asks for them. An earlier version stored facts without a limit; those are left out. */
  #factsOf({ id, facts: text }: Row): NodeFacts | null {
    if (text === null || text.length > MAX_FACTS_LENGTH) return null;
    const known = this.#facts.get(id);
    if (known?.text === text) return known.facts;
    const facts = nodeFactsSchema.safeParse(JSON.parse(text)).data ?? null;
    this.#facts.set(id, { text, facts });
    return facts;
  }
}

/** The capabilities that a node has and may be used for. */
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
