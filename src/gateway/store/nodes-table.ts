/** Paired nodes: identity, name, labels and when they were last seen. */

import type { Labels } from '../../protocol/names.ts';
import type { NodeFacts } from '../../protocol/node-messages.ts';
import type { Sqlite } from './database.ts';
import { MAX_MEANT, prefixBounds } from './look-up.ts';

/** How long a removed node's key is remembered, ms; after that it is an unknown key. */
const TOMBSTONE_MAX_AGE_MS = 365 * 86_400_000;
/** Most removed keys remembered: ephemeral nodes may come and go by the thousand. */
const MAX_TOMBSTONES = 10_000;

/** Labels that an operator gave; null takes one away that the node gives itself. */
export type LabelOverrides = Record<string, string | null>;

export interface NewNode extends Pick<NodeRecord, 'id' | 'name' | 'publicKey' | 'facts' | 'createdAt'> {
  ownLabels: Labels;
  labels: LabelOverrides;
  ephemeral?: boolean;
}

export interface NodeRecord {
  id: string;
  name: string;
  publicKey: Buffer;
  /** What counts: the node's own labels with the operator's laid over them. */
  labels: Labels;
  facts: NodeFacts | null;
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
  ephemeral: number;
  created_at: number;
  last_seen_at: number | null;
  revoked_at: number | null;
}

export class NodesTable {
  readonly #statements;

  constructor(database: Sqlite) {
    this.#statements = {
      insert: database.prepare(
        `INSERT INTO nodes (id, name, public_key, own_labels, labels, facts, ephemeral, created_at) VALUES (?, ?, ?, ?, ?, ?, ?, ?)`,
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
      facts: database.prepare('UPDATE nodes SET facts = ? WHERE id = ?'),
      seen: database.prepare('UPDATE nodes SET last_seen_at = ? WHERE id = ?'),
      replaceKey: database.prepare('UPDATE nodes SET public_key = @newKey WHERE id = @id AND public_key = @oldKey'),
      retireKey: database.prepare('INSERT INTO retired_node_keys (public_key, node_id, retired_at) VALUES (?, ?, ?)'),
      formerKey: database.prepare(
        `SELECT name, 'replaced' AS fate FROM retired_node_keys JOIN nodes ON nodes.id = node_id WHERE retired_node_keys.public_key = @key
         UNION ALL SELECT name, 'removed' FROM removed_node_keys WHERE public_key = @key`,
      ),
      bury: database.prepare(
        `INSERT OR REPLACE INTO removed_node_keys (public_key, name, removed_at)
         SELECT public_key, name, @at FROM nodes WHERE id = @id
         UNION ALL SELECT r.public_key, name, @at FROM retired_node_keys r JOIN nodes ON nodes.id = node_id WHERE node_id = @id`,
      ),
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
    const factsText = facts === null ? null : JSON.stringify(facts);
    this.#statements.insert.run(
      id,
      name,
      publicKey,
      JSON.stringify(ownLabels),
      JSON.stringify(labels),
      factsText,
      ephemeral ? 1 : 0,
      createdAt,
    );
  }

  all(): NodeRecord[] {
    return (this.#statements.all.all() as Row[]).map(toRecord);
  }

  ephemeral(): NodeRecord[] {
    return (this.#statements.ephemeral.all() as Row[]).map(toRecord);
  }

  byId(id: string): NodeRecord | undefined {
    return toOptional(this.#statements.byId.get(id));
  }

  byIdPrefix(prefix: string): NodeRecord[] {
    return (this.#statements.byIdPrefix.all(...prefixBounds(prefix)) as Row[]).map(toRecord);
  }

  names(): string[] {
    return this.#statements.names.all() as string[];
  }

  byPublicKey(publicKey: Uint8Array): NodeRecord | undefined {
    return toOptional(this.#statements.byKey.get(publicKey));
  }

  byName(name: string): NodeRecord | undefined {
    return toOptional(this.#statements.byName.get(name));
  }

  rename(id: string, name: string): void {
    this.#statements.rename.run(name, id);
  }

  /** What the node says of itself. */
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

  setFacts(id: string, facts: NodeFacts): void {
    this.#statements.facts.run(JSON.stringify(facts), id);
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
  }
}

function toOptional(row: unknown): NodeRecord | undefined {
  return row === undefined ? undefined : toRecord(row as Row);
}

function toRecord(row: Row): NodeRecord {
  return {
    id: row.id,
    name: row.name,
    publicKey: row.public_key,
    labels: effectiveLabels(JSON.parse(row.own_labels) as Labels, JSON.parse(row.labels) as LabelOverrides),
    facts: row.facts === null ? null : (JSON.parse(row.facts) as NodeFacts),
    ephemeral: row.ephemeral === 1,
    createdAt: row.created_at,
    lastSeenAt: row.last_seen_at,
    revokedAt: row.revoked_at,
  };
}

function effectiveLabels(own: Labels, overrides: LabelOverrides): Labels {
  const merged = Object.entries({ ...own, ...overrides });
  return Object.fromEntries(merged.filter((entry): entry is [string, string] => entry[1] !== null));
}
