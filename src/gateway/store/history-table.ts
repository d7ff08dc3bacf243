/** The figures of all nodes over time, in three resolutions: heartbeats, five minutes, and hours. docs/adr/0019. */

import type { DiskTrend } from '../health/forecast-disk.ts';
import {
  type Aggregates,
  addEncodedAggregates,
  addEncodedFigures,
  encodeAggregates,
  encodeFigures,
  newAggregates,
} from '../history/figure-codec.ts';
import type { Figures } from '../history/figures.ts';
import type { Sqlite } from './database.ts';

export const FIVE_MINUTES_MS = 5 * 60_000;
export const HOUR_MS = 3_600_000;
const FIVES_PER_HOUR = 12;
/** A heartbeat may still be on its way into the store when its five minutes are over, ms. */
const LATE_MS = 5_000;
/** Most heartbeats and most nodes that one step rolls up: a few milliseconds of work. */
const STEP_BEATS = 1_000;
const STEP_NODES = 100;

export type Resolution = 'raw' | '5m' | '1h';

/** A place in the order of buckets and, within a bucket, of nodes. */
export interface Place {
  bucket: number;
  node: number;
}

interface RawRow extends Place {
  figures: Buffer;
}

/** One stored row: a heartbeat or a bucket. `at` is when it began, ms. */
export interface HistoryRow extends Place {
  at: number;
  figures: Buffer;
}

/** All but {@link HistoryTable.rows} is to be called inside a transaction. */
export class HistoryTable {
  readonly #statements;

  constructor(database: Sqlite) {
    const upsert = (table: string) =>
      database.prepare(
        `INSERT INTO ${table} (bucket, node, figures) VALUES (?, ?, ?) ON CONFLICT DO UPDATE SET figures = excluded.figures`,
      );
    const get = (table: string) =>
      database.prepare(`SELECT figures FROM ${table} WHERE bucket = ? AND node = ?`).pluck();
    const prune = (table: string, key: string) =>
      database.prepare(`DELETE FROM ${table} WHERE (${key}) IN (SELECT ${key} FROM ${table} WHERE bucket < ? LIMIT ?)`);
    this.#statements = {
      number: database.prepare('SELECT num FROM history_nodes WHERE node_id = ?').pluck(),
      numbers: database.prepare('SELECT num, node_id AS nodeId FROM history_nodes'),
      addNumber: database.prepare('INSERT INTO history_nodes (node_id) VALUES (?)'),
      insertRaw: database.prepare('INSERT OR IGNORE INTO history_raw (bucket, node, at, figures) VALUES (?, ?, ?, ?)'),
      cursor: database.prepare('SELECT bucket, node FROM history_cursors WHERE resolution = ?'),
      setCursor: database.prepare('UPDATE history_cursors SET bucket = ?, node = ? WHERE resolution = ?'),
      rawAfter: database.prepare(
        `SELECT bucket, node, figures FROM history_raw
         WHERE (bucket, node) > (@bucket, @node) AND bucket < @before ORDER BY bucket, node, at LIMIT @limit`,
      ),
      rawOf: database.prepare('SELECT figures FROM history_raw WHERE bucket = ? AND node = ?').pluck(),
      get5m: get('history_5m'),
      put5m: upsert('history_5m'),
      get1h: get('history_1h'),
      put1h: upsert('history_1h'),
      next5m: database.prepare('SELECT min(bucket) FROM history_5m WHERE bucket >= ?').pluck(),
      nodesAfter: database.prepare('SELECT num FROM history_nodes WHERE num > ? ORDER BY num LIMIT ?').pluck(),
      putDisk: database.prepare(
        `INSERT INTO history_disks (hour, node, mount, used_pct) VALUES (?, ?, ?, ?)
         ON CONFLICT DO UPDATE SET used_pct = excluded.used_pct`,
      ),
      diskSums: database.prepare(
        `SELECT mount, count(*) AS readings, min(hour) AS firstHour, max(hour) AS lastHour,
           total(hour - @from) AS sumHours, total((hour - @from) * (hour - @from)) AS sumSquaredHours,
           total(used_pct) AS sumPct, total(used_pct * used_pct) AS sumSquaredPct,
           total((hour - @from) * used_pct) AS sumProducts
         FROM history_disks WHERE node = (SELECT num FROM history_nodes WHERE node_id = @nodeId) AND hour >= @from
         GROUP BY mount`,
      ),
      pruneDisks: database.prepare(
        'DELETE FROM history_disks WHERE node = (SELECT num FROM history_nodes WHERE node_id = ?) AND hour < ?',
      ),
      pruneRaw: prune('history_raw', 'bucket, node, at'),
      prune5m: prune('history_5m', 'bucket, node'),
      prune1h: prune('history_1h', 'bucket, node'),
      rows: {
        raw: database.prepare(
          `SELECT bucket, node, at, figures FROM history_raw
           WHERE (bucket, node, at) > (@bucket, @node, @at) AND bucket <= @last ORDER BY bucket, node, at LIMIT @limit`,
        ),
        '5m': rowsOf(database, 'history_5m', FIVE_MINUTES_MS),
        '1h': rowsOf(database, 'history_1h', HOUR_MS),
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
    this.#absorb({ bucket, node }, late);
  }

  /** Keeps how full each disk is, once an hour; a later figure of the same hour takes its place. */
  insertDisks(nodeId: string, at: number, disks: readonly { mount: string; usedPct: number }[]): void {
    const node = this.#numberOf(nodeId);
    const hour = Math.floor(at / HOUR_MS);
    for (const { mount, usedPct } of disks) this.#statements.putDisk.run(hour, node, mount, usedPct);
  }

  /** One piece of rolling up what is complete at `now`; whether there may be more to do. Idempotent, and right after a crash. */
  rollUpStep(now: number): boolean {
    return this.#rollUpBeats(now) || this.#rollUpHours(now);
  }

  /** Up to where a resolution is complete: what lies at or before it was rolled up into it. */
  cursor(resolution: '5m' | '1h'): Place {
    return this.#statements.cursor.get(resolution) as Place;
  }

  /** At most `limit` rows after `after` and up to the bucket `last`, in order of bucket and node. */
  rows(resolution: Resolution, after: Place & { at: number }, last: number, limit: number): HistoryRow[] {
    return this.#statements.rows[resolution].all({ ...after, last, limit }) as HistoryRow[];
  }

  /** What one node has in one bucket. */
  rowsOfNode(resolution: Resolution, bucket: number, node: number): HistoryRow[] {
    if (resolution === 'raw') return this.#statements.rawOfNode.all(bucket, node) as HistoryRow[];
    const statement = resolution === '5m' ? this.#statements.get5m : this.#statements.get1h;
    const figures = statement.get(bucket, node) as Buffer | undefined;
    return figures === undefined ? [] : [{ bucket, node, at: bucket * bucketMs(resolution), figures }];
  }

  /** Ids of all nodes that have a history, by their numbers here. */
  nodeIds(): Map<number, string> {
    const rows = this.#statements.numbers.all() as { num: number; nodeId: string }[];
    return new Map(rows.map(({ num, nodeId }) => [num, nodeId]));
  }

  numberOf(nodeId: string): number | undefined {
    return this.#statements.number.get(nodeId) as number | undefined;
  }

  /** What a straight line through the node's disks needs, disk by disk, from `from` (ms) on. */
  diskTrends(nodeId: string, from: number): (DiskTrend & { mount: string })[] {
    return this.#statements.diskSums.all({ nodeId, from: Math.floor(from / HOUR_MS) }) as ReturnType<
      HistoryTable['diskTrends']
    >;
  }

  /** Forgets how full the node's disks were before `before`, ms. */
  pruneDisks(nodeId: string, before: number): void {
    this.#statements.pruneDisks.run(nodeId, Math.floor(before / HOUR_MS));
  }

  /** Deletes at most `limit` rows of a resolution that began before `before` (ms); how many went. Only what was rolled up goes. */
  prune(resolution: Resolution, before: number, limit: number): number {
    const { pruneRaw, prune5m, prune1h } = this.#statements;
    const fives = Math.floor(before / FIVE_MINUTES_MS);
    if (resolution === 'raw') return pruneRaw.run(Math.min(fives, this.cursor('5m').bucket), limit).changes;
    if (resolution === '5m') {
      return prune5m.run(Math.min(fives, this.cursor('1h').bucket * FIVES_PER_HOUR), limit).changes;
    }
    return prune1h.run(Math.floor(before / HOUR_MS), limit).changes;
  }

  #numberOf(nodeId: string): number {
    const number = this.numberOf(nodeId);
    return number ?? Number(this.#statements.addNumber.run(nodeId).lastInsertRowid);
  }

  #rollUpBeats(now: number): boolean {
    const { rawAfter, rawOf, setCursor } = this.#statements;
    const before = Math.floor((now - LATE_MS) / FIVE_MINUTES_MS);
    const rows = rawAfter.all({ ...this.cursor('5m'), before, limit: STEP_BEATS }) as RawRow[];
    let [place] = rows;
    if (place === undefined) return false;
    let aggregates = newAggregates();
    for (const row of rows) {
      if (row.bucket !== place.bucket || row.node !== place.node) {
        this.#absorb(place, aggregates);
        aggregates = newAggregates();
        place = row;
      }
      addEncodedFigures(aggregates, row.figures);
    }
    if (rows.length === STEP_BEATS) {
      // The step may have cut the last node's beats in two.
      aggregates = newAggregates();
      for (const figures of rawOf.all(place.bucket, place.node) as Buffer[]) addEncodedFigures(aggregates, figures);
    }
    this.#absorb(place, aggregates);
    setCursor.run(place.bucket, place.node, '5m');
    return true;
  }

  #rollUpHours(now: number): boolean {
    const { next5m, nodesAfter, get5m, setCursor } = this.#statements;
    const cursor = this.cursor('1h');
    let { bucket: hour, node } = cursor;
    let nodes = (hour < 0 ? [] : nodesAfter.all(node, STEP_NODES)) as number[];
    if (nodes.length === 0) {
      const next = next5m.get((hour + 1) * FIVES_PER_HOUR) as number | null;
      if (next === null) return false;
      hour = Math.floor(next / FIVES_PER_HOUR);
      nodes = nodesAfter.all(-1, STEP_NODES) as number[];
      // Its last five minutes were rolled up by now, since they go first.
      if ((hour + 1) * HOUR_MS + LATE_MS > now || nodes.length === 0) return false;
    }
    for (node of nodes) {
      const aggregates = newAggregates();
      for (let five = hour * FIVES_PER_HOUR; five < (hour + 1) * FIVES_PER_HOUR; five += 1) {
        const figures = get5m.get(five, node) as Buffer | undefined;
        if (figures !== undefined) addEncodedAggregates(aggregates, figures);
      }
      this.#mergeInto('1h', { bucket: hour, node }, aggregates);
    }
    setCursor.run(hour, node, '1h');
    return true;
  }

  /** Counts what belongs into five minutes of a node there, and into its hour if that was rolled up before. */
  #absorb({ bucket, node }: Place, aggregates: Aggregates): void {
    this.#mergeInto('5m', { bucket, node }, aggregates);
    const hour = { bucket: Math.floor(bucket / FIVES_PER_HOUR), node };
    if (!isAfter(hour, this.cursor('1h'))) this.#mergeInto('1h', hour, aggregates);
  }

  #mergeInto(resolution: '5m' | '1h', { bucket, node }: Place, aggregates: Aggregates): void {
    const { get5m, put5m, get1h, put1h } = this.#statements;
    if (aggregates.every(({ count }) => count === 0)) return;
    const present = (resolution === '5m' ? get5m : get1h).get(bucket, node) as Buffer | undefined;
    let merged = aggregates;
    if (present !== undefined) {
      merged = newAggregates();
      addEncodedAggregates(merged, present);
      addEncodedAggregates(merged, encodeAggregates(aggregates));
    }
    (resolution === '5m' ? put5m : put1h).run(bucket, node, encodeAggregates(merged));
  }
}

/** Length of one bucket, ms; heartbeats lie in five minutes' buckets. */
export function bucketMs(resolution: Resolution): number {
  return resolution === '1h' ? HOUR_MS : FIVE_MINUTES_MS;
}

/** Whether `place` comes later than `other`. */
export function isAfter(place: Place, other: Place): boolean {
  return place.bucket > other.bucket || (place.bucket === other.bucket && place.node > other.node);
}

function rowsOf(database: Sqlite, table: string, lengthMs: number) {
  return database.prepare(
    `SELECT bucket, node, bucket * ${lengthMs} AS at, figures FROM ${table}
     WHERE (bucket, node) > (@bucket, @node) AND bucket <= @last ORDER BY bucket, node LIMIT @limit`,
  );
}
