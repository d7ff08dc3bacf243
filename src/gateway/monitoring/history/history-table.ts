/** The figures of all nodes over time, in four resolutions: heartbeats, five minutes, hours, and days. docs/adr/0019, 0025. */
import type { NodesStore } from '../../nodes/nodes-table.ts';
import type { Sqlite } from '../../store/database.ts';
import { DiskHistory } from './disk-history.ts';
import type { Figures } from './figures.ts';
import { BUCKET_MS, FIVE_MINUTES_MS, type Layer, type Place, type Resolution } from './resolutions.ts';
import { HistoryRollUp } from './roll-up.ts';
import { encodeFigures } from './row-codec.ts';

/** A stored heartbeat or bucket. */
interface HistoryRow extends Place {
  /** When it began, ms. */
  at: number;
  figures: Buffer;
}

/** The store as this folder, and those above it, see it. */
export interface HistoryStore extends NodesStore {
  readonly history: HistoryTable;
}

/** All but reading must be called inside a transaction. */
export class HistoryTable {
  readonly disks: DiskHistory;
  readonly rollUp: HistoryRollUp;
  readonly #statements;
  readonly #byResolution;

  constructor(database: Sqlite) {
    this.disks = new DiskHistory(database);
    this.rollUp = new HistoryRollUp(database);
    this.#statements = {
      node: database.prepare('SELECT num FROM history_nodes WHERE node_id = ?').pluck(),
      nodes: database.prepare('SELECT num, node_id FROM history_nodes').raw(),
      addNode: database.prepare('INSERT INTO history_nodes (node_id) VALUES (?)'),
      insert: database.prepare('INSERT OR IGNORE INTO history_raw (bucket, node, at, figures) VALUES (?, ?, ?, ?)'),
    };
    const of = (resolution: Resolution) => prepareRows(database, resolution);
    this.#byResolution = { raw: of('raw'), '5m': of('5m'), '1h': of('1h'), '1d': of('1d') };
  }

  /** Stores the figures of one heartbeat. A repeated one changes nothing; a late one is added to every resolution. */
  insert(nodeId: string, at: number, figures: Figures): void {
    const { node: numberOf, addNode, insert } = this.#statements;
    const node = (numberOf.get(nodeId) as number | undefined) ?? Number(addNode.run(nodeId).lastInsertRowid);
    const bucket = Math.floor(at / FIVE_MINUTES_MS);
    const bytes = encodeFigures(figures);
    if (insert.run(bucket, node, at, bytes).changes > 0) this.rollUp.addLate({ bucket, node }, bytes);
  }

  /** At most `limit` rows after `after` up to the bucket `last`, in order. */
  rows(resolution: Resolution, after: Place & { at: number }, last: number, limit: number): HistoryRow[] {
    return toRows(this.#byResolution[resolution].rows.all({ ...after, last, limit }));
  }

  /** The rows of one node in a layer. */
  rowsOfNode(nodeId: string, { resolution, first, last }: Layer): HistoryRow[] {
    return toRows(this.#byResolution[resolution].rowsOfNode.all({ nodeId, first, last }));
  }

  /** Ids of the nodes with a history, by number. */
  nodeIds(): Map<number, string> {
    return new Map(this.#statements.nodes.all() as [number, string][]);
  }

  /** Deletes at most `limit` rows that began before `before`, ms, and are rolled up. @returns the number of rows. */
  prune(resolution: Resolution, before: number, limit: number): number {
    const coarser = ({ raw: '5m', '5m': '1h', '1h': '1d', '1d': undefined } as const)[resolution];
    const until = coarser === undefined ? before : Math.min(before, this.rollUp.completeUntil(coarser));
    return this.#byResolution[resolution].prune.run(Math.floor(until / BUCKET_MS[resolution]), limit).changes;
  }
}

function prepareRows(database: Sqlite, resolution: Resolution) {
  const table = `history_${resolution}`;
  const key = resolution === 'raw' ? 'bucket, node, at' : 'bucket, node';
  const at = resolution === 'raw' ? 'at' : `bucket * ${BUCKET_MS[resolution]}`;
  // As text: the Buffer that SQLite's binding creates costs more than the rest of the row, and a report reads many.
  const columns = `bucket, node, ${at}, hex(figures)`;
  return {
    rows: database
      .prepare(
        `SELECT ${columns} FROM ${table} WHERE (${key}) > (${key.replace(/\w+/g, '@$&')}) AND bucket <= @last
         ORDER BY ${key} LIMIT @limit`,
      )
      .raw(),
    // The bucket comes first in the key, so one node takes one lookup per bucket.
    rowsOfNode: database
      .prepare(
        `WITH RECURSIVE buckets (bucket) AS (SELECT @first UNION ALL SELECT bucket + 1 FROM buckets WHERE bucket < @last)
         SELECT ${columns} FROM buckets CROSS JOIN ${table} USING (bucket)
         WHERE node = (SELECT num FROM history_nodes WHERE node_id = @nodeId)`,
      )
      .raw(),
    prune: database.prepare(
      `DELETE FROM ${table} WHERE (${key}) IN (SELECT ${key} FROM ${table} WHERE bucket < ? LIMIT ?)`,
    ),
  };
}

function toRows(rows: unknown[]): HistoryRow[] {
  return (rows as [bucket: number, node: number, at: number, figures: string][]).map(([bucket, node, at, figures]) => ({
    bucket,
    node,
    at,
    figures: Buffer.from(figures, 'hex'),
  }));
}
