/** The figures of all nodes over time, in four resolutions: heartbeats, five minutes, hours, and days. docs/adr/0019, 0025. */

import type { NodesStore } from '../../nodes/nodes-table.ts';
import type { Sqlite } from '../../store/database.ts';
import { DiskHistoryTable } from './disk-history-table.ts';
import { addEncodedFigures, encodeFigures, newAggregates } from './figure-codec.ts';
import type { Figures } from './figures.ts';
import type { DiskTrend } from './forecast-disk.ts';
import { HistoryBuckets } from './history-buckets.ts';
import { HistoryRollUp } from './history-roll-up.ts';
import {
  bucketMs,
  FIVE_MINUTES_MS,
  FIVES_PER_HOUR,
  HOUR_MS,
  HOURS_PER_DAY,
  inCoarser,
  isAfter,
  type Place,
  type Resolution,
  type RolledUp,
} from './resolutions.ts';

/** One stored row: a heartbeat or a bucket. `at` is when it began, ms. */
export interface HistoryRow extends Place {
  at: number;
  figures: Buffer;
}

type HexRow = [bucket: number, node: number, at: number, figures: string];

export type DiskTrends = readonly (DiskTrend & { mount: string })[];

/** All but {@link HistoryTable.rows} is to be called inside a transaction. */
export class HistoryTable {
  readonly #disks: DiskHistoryTable;
  readonly #buckets: HistoryBuckets;
  readonly #rollUp: HistoryRollUp;
  readonly #statements;

  constructor(database: Sqlite) {
    this.#disks = new DiskHistoryTable(database);
    this.#buckets = new HistoryBuckets(database, this.#disks);
    this.#rollUp = new HistoryRollUp(database, this.#buckets);
    const prune = (table: string, key: string) =>
      database.prepare(`DELETE FROM ${table} WHERE (${key}) IN (SELECT ${key} FROM ${table} WHERE bucket < ? LIMIT ?)`);
    this.#statements = {
      number: database.prepare('SELECT num FROM history_nodes WHERE node_id = ?').pluck(),
      numbers: database.prepare('SELECT num, node_id AS nodeId FROM history_nodes'),
      numbersOf: database.prepare(
        'SELECT num, node_id AS nodeId FROM history_nodes WHERE node_id IN (SELECT value FROM json_each(?))',
      ),
      lastNumber: database.prepare('SELECT max(num) FROM history_nodes').pluck(),
      addNumber: database.prepare('INSERT INTO history_nodes (node_id) VALUES (?)'),
      insertRaw: database.prepare('INSERT OR IGNORE INTO history_raw (bucket, node, at, figures) VALUES (?, ?, ?, ?)'),
      prune: {
        raw: prune('history_raw', 'bucket, node, at'),
        '5m': prune('history_5m', 'bucket, node'),
        '1h': prune('history_1h', 'bucket, node'),
        '1d': prune('history_1d', 'bucket, node'),
      },
      rows: {
        raw: database
          .prepare(
            `SELECT bucket, node, at, hex(figures) FROM history_raw
             WHERE (bucket, node, at) > (@bucket, @node, @at) AND bucket <= @last ORDER BY bucket, node, at LIMIT @limit`,
          )
          .raw(),
        '5m': rowsOf(database, 'history_5m', bucketMs('5m')),
        '1h': rowsOf(database, 'history_1h', bucketMs('1h')),
        '1d': rowsOf(database, 'history_1d', bucketMs('1d')),
      },
      rawOfNode: database.prepare(
        'SELECT bucket, node, at, figures FROM history_raw WHERE bucket = ? AND node = ? ORDER BY at',
      ),
    };
  }

  /** Keeps one heartbeat's figures. One that is already there changes nothing; one that comes late is in every resolution. */
  insert(nodeId: string, at: number, figures: Figures): void {
    const node = this.#numberOf(nodeId);
    const bucket = Math.floor(at / FIVE_MINUTES_MS);
    const bytes = encodeFigures(figures);
    const isNew = this.#statements.insertRaw.run(bucket, node, at, bytes).changes > 0;
    if (!isNew || isAfter({ bucket, node }, this.cursor('5m'))) return;
    const late = newAggregates();
    addEncodedFigures(late, bytes);
    this.#buckets.absorb({ bucket, node }, late);
  }

  /** Keeps how full each disk is, once an hour; a later figure of the same hour takes its place. */
  insertDisks(nodeId: string, at: number, disks: readonly { mount: string; usedPct: number }[]): void {
    this.#disks.insert(this.#numberOf(nodeId), Math.floor(at / HOUR_MS), disks);
  }

  /** One piece of rolling up what is complete at `now`; whether there may be more to do. Idempotent, and right after a crash. */
  rollUpStep(now: number): boolean {
    return this.#rollUp.step(now);
  }

  /** Up to where a resolution is complete: what lies at or before it was rolled up into it. */
  cursor(resolution: RolledUp): Place {
    return this.#buckets.cursor(resolution);
  }

  /** At most `limit` rows after `after` and up to the bucket `last`, in order of bucket and node. */
  rows(resolution: Resolution, after: Place & { at: number }, last: number, limit: number): HistoryRow[] {
    // As hexadecimal text: a Buffer that SQLite's binding makes costs more than the rest of its row, and a report reads many.
    const rows = this.#statements.rows[resolution].all({ ...after, last, limit }) as HexRow[];
    return rows.map(([bucket, node, at, figures]) => ({ bucket, node, at, figures: Buffer.from(figures, 'hex') }));
  }

  /** What one node has in one bucket. */
  rowsOfNode(resolution: Resolution, bucket: number, node: number): HistoryRow[] {
    if (resolution === 'raw') return this.#statements.rawOfNode.all(bucket, node) as HistoryRow[];
    const figures = this.#buckets.get(resolution, { bucket, node });
    return figures === undefined ? [] : [{ bucket, node, at: bucket * bucketMs(resolution), figures }];
  }

  /** Ids of all nodes that have a history, by their numbers here. */
  nodeIds(): Map<number, string> {
    return toIds(this.#statements.numbers.all());
  }

  /** The highest number that a node has; -1 without any. */
  lastNode(): number {
    return (this.#statements.lastNumber.get() as number | null) ?? -1;
  }

  numberOf(nodeId: string): number | undefined {
    return this.#statements.number.get(nodeId) as number | undefined;
  }

  /**
   * What a straight line through each disk of each of these nodes needs, from the first day (UTC) on that begins at or after
   * `from`, ms; sums count from the hour of `from`.
   */
  diskTrendsOf(nodeIds: readonly string[], from: number): Map<string, DiskTrends> {
    const ids = toIds(this.#statements.numbersOf.all(JSON.stringify(nodeIds)));
    const trends = new Map<string, DiskTrends>();
    for (const { node, ...trend } of this.#disks.trends(
      [...ids.keys()],
      Math.floor(from / HOUR_MS),
      this.#areDaysMade(),
    )) {
      const id = ids.get(node) ?? '';
      trends.set(id, [...(trends.get(id) ?? []), trend]);
    }
    return trends;
  }

  /** {@link diskTrendsOf} one node. */
  diskTrends(nodeId: string, from: number): DiskTrends {
    return this.diskTrendsOf([nodeId], from).get(nodeId) ?? [];
  }

  /** Forgets how full the node's disks were before `before`, ms. */
  pruneDisks(nodeId: string, before: number): void {
    const node = this.numberOf(nodeId);
    if (node !== undefined) this.#disks.prune(node, Math.floor(before / HOUR_MS));
  }

  /** Deletes at most `limit` rows of a resolution that began before `before` (ms); how many went. Only what was rolled up goes. */
  prune(resolution: Resolution, before: number, limit: number): number {
    const bucket = Math.floor(before / bucketMs(resolution));
    return this.#statements.prune[resolution].run(Math.min(bucket, this.#rolledUpTo(resolution)), limit).changes;
  }

  /** Whether all complete days are made: not so for a while after an update from a fleet without days. */
  #areDaysMade(): boolean {
    const { bucket, node } = this.cursor('1d');
    if (bucket >= 0 && node < this.lastNode()) return false;
    const next = this.#buckets.next('1h', (bucket + 1) * HOURS_PER_DAY);
    return next === null || next >= inCoarser(this.cursor('1h'), HOURS_PER_DAY).bucket * HOURS_PER_DAY;
  }

  /** The first bucket that is not rolled up into the next resolution in whole. */
  #rolledUpTo(resolution: Resolution): number {
    if (resolution === 'raw') return this.cursor('5m').bucket;
    if (resolution === '5m') return this.cursor('1h').bucket * FIVES_PER_HOUR;
    if (resolution === '1h') return this.cursor('1d').bucket * HOURS_PER_DAY;
    return Number.MAX_SAFE_INTEGER;
  }

  #numberOf(nodeId: string): number {
    const number = this.numberOf(nodeId);
    return number ?? Number(this.#statements.addNumber.run(nodeId).lastInsertRowid);
  }
}

function toIds(rows: unknown[]): Map<number, string> {
  return new Map((rows as { num: number; nodeId: string }[]).map(({ num, nodeId }) => [num, nodeId]));
}

function rowsOf(database: Sqlite, table: string, lengthMs: number) {
  return database
    .prepare(
      `SELECT bucket, node, bucket * ${lengthMs} AS at, hex(figures) FROM ${table}
       WHERE (bucket, node) > (@bucket, @node) AND bucket <= @last ORDER BY bucket, node LIMIT @limit`,
    )
    .raw();
}

/** The store as this folder, and those above it, see it. */
export interface HistoryStore extends NodesStore {
  readonly history: HistoryTable;
}
