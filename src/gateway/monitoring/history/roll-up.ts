/** Rolls the history up in small steps: heartbeats into five minutes, those into hours, and those into days. docs/adr/0019, 0025. */
import type { Sqlite } from '../../store/database.ts';
import {
  BUCKET_MS,
  FIVES_PER_HOUR,
  HOURS_PER_DAY,
  inCoarser,
  isAfter,
  type Place,
  type RolledUp,
} from './resolutions.ts';
import {
  type Aggregates,
  addEncodedAggregates,
  addEncodedFigures,
  encodeAggregates,
  encodeDay,
  hasReadings,
  newAggregates,
} from './row-codec.ts';

/** How long a heartbeat may take from its arrival into the store, ms. */
const LATE_MS = 5_000;
/** Buckets of single nodes built in one step: a few milliseconds of work. */
const STEP_SIZE = { '5m': 100, '1h': 100, '1d': 10 };
/** What each resolution is built from, and how many of its buckets. */
const PARTS = { '5m': ['raw', 1], '1h': ['5m', FIVES_PER_HOUR], '1d': ['1h', HOURS_PER_DAY] } as const;
/** Higher than the number of any node. */
const ALL_NODES = Number.MAX_SAFE_INTEGER;

/** All methods must be called inside a transaction. */
export class HistoryRollUp {
  readonly #statements;

  constructor(database: Sqlite) {
    const of = (table: string) => ({
      get: database.prepare(`SELECT figures FROM ${table} WHERE bucket = ? AND node = ?`).pluck(),
      next: database.prepare(`SELECT min(bucket) FROM ${table} WHERE bucket >= ?`).pluck(),
    });
    const put = (table: string) =>
      database.prepare(`INSERT OR REPLACE INTO ${table} (bucket, node, figures) VALUES (?, ?, ?)`);
    this.#statements = {
      raw: of('history_raw'),
      '5m': { ...of('history_5m'), put: put('history_5m') },
      '1h': { ...of('history_1h'), put: put('history_1h') },
      '1d': { put: put('history_1d') },
      cursor: database.prepare('SELECT bucket, node FROM history_cursors WHERE resolution = ?'),
      setCursor: database.prepare(
        `UPDATE history_cursors SET bucket = @bucket, node = @node
         WHERE resolution = @resolution AND (bucket, node) <> (@bucket, @node)`,
      ),
      nodesAfter: database.prepare('SELECT num FROM history_nodes WHERE num > ? ORDER BY num LIMIT ?').pluck(),
    };
  }

  /** One step of rolling up what is complete at `now`; returns whether there may be more. Idempotent, also after a crash. */
  step(now: number): boolean {
    return this.#rollUp('5m', now) || this.#rollUp('1h', now) || this.#rollUp('1d', now);
  }

  /** The last place that is rolled up into a resolution. */
  cursor(resolution: RolledUp): Place {
    return this.#statements.cursor.get(resolution) as Place;
  }

  /** Up to when a resolution is complete for all nodes, ms. Until then nothing else needs to be read, and finer rows can be deleted. */
  completeUntil(resolution: RolledUp): number {
    const { bucket, node } = this.cursor(resolution);
    // The cursor may be between two nodes of a bucket.
    const isWhole = this.#nodesAfter(node, 1).length === 0;
    return Math.max(0, isWhole ? bucket + 1 : bucket) * BUCKET_MS[resolution];
  }

  /** Adds a late heartbeat to every resolution that is already rolled up past it. */
  addLate(place: Place, figures: Buffer): void {
    if (isAfter(place, this.cursor('5m'))) return;
    const aggregates = newAggregates();
    addEncodedFigures(aggregates, figures);
    this.#add('5m', place, aggregates);
  }

  #rollUp(resolution: RolledUp, now: number): boolean {
    const [finer, ratio] = PARTS[resolution];
    const { next } = this.#statements[finer];
    // The first bucket that is not complete. Finer buckets come first in each step, so they are rolled up by now.
    const end = Math.floor((now - LATE_MS) / BUCKET_MS[resolution]);
    let { bucket, node } = this.cursor(resolution);
    let built = 0;
    while (built < STEP_SIZE[resolution]) {
      const nodes = bucket < 0 ? [] : this.#nodesAfter(node, STEP_SIZE[resolution] - built);
      for (node of nodes) this.#build(resolution, { bucket, node });
      built += nodes.length;
      if (built === STEP_SIZE[resolution]) break;
      const found = next.get((bucket + 1) * ratio) as number | null;
      if (found === null || found >= end * ratio) {
        // Past empty buckets, too, so that heartbeats arriving for them are late.
        bucket = Math.max(bucket, end - 1);
        node = ALL_NODES;
        break;
      }
      bucket = Math.floor(found / ratio);
      node = -1;
    }
    this.#statements.setCursor.run({ resolution, bucket, node });
    return built > 0;
  }

  #build(resolution: RolledUp, place: Place): void {
    if (resolution === '1d') {
      this.#buildDay(place);
      return;
    }
    const aggregates = newAggregates();
    if (resolution === '5m') {
      const beats = this.#statements.raw.get.all(place.bucket, place.node) as Buffer[];
      for (const figures of beats) addEncodedFigures(aggregates, figures);
    } else {
      for (const figures of this.#partsOf('1h', place)) if (figures) addEncodedAggregates(aggregates, figures);
    }
    this.#add(resolution, place, aggregates);
  }

  /** Builds or rebuilds a day, which never holds anything that its hours do not. */
  #buildDay(day: Place): void {
    const bytes = encodeDay(this.#partsOf('1d', day));
    if (bytes !== undefined) this.#statements['1d'].put.run(day.bucket, day.node, bytes);
  }

  /** Adds to a bucket, and to coarser ones that exist already, if the clock was set back or no node had sent anything by then. */
  #add(resolution: '5m' | '1h', place: Place, aggregates: Aggregates): void {
    if (!aggregates.some(hasReadings)) return;
    const { bucket, node } = place;
    const { get, put } = this.#statements[resolution];
    const present = get.get(bucket, node) as Buffer | undefined;
    const added = encodeAggregates(aggregates);
    if (present === undefined) put.run(bucket, node, added);
    else {
      const merged = newAggregates();
      addEncodedAggregates(merged, present);
      addEncodedAggregates(merged, added);
      put.run(bucket, node, encodeAggregates(merged));
    }
    const coarser = resolution === '5m' ? '1h' : '1d';
    const around = inCoarser(place, PARTS[coarser][1]);
    if (isAfter(around, this.cursor(coarser))) return;
    if (coarser === '1h') this.#add(coarser, around, aggregates);
    else this.#buildDay(around);
  }

  /** What a node has in each part of a bucket. */
  #partsOf(resolution: '1h' | '1d', { bucket, node }: Place): (Buffer | undefined)[] {
    const [finer, ratio] = PARTS[resolution];
    const { get } = this.#statements[finer];
    return Array.from({ length: ratio }, (_, part) => get.get(bucket * ratio + part, node) as Buffer | undefined);
  }

  #nodesAfter(node: number, limit: number): number[] {
    return this.#statements.nodesAfter.all(node, limit) as number[];
  }
}
