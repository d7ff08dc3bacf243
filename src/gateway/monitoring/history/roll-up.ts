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
/** Heartbeats, and nodes' hours and days, rolled up in one step: a few milliseconds of work. */
const STEP_BEATS = 1_000;
const STEP_NODES = { '1h': 100, '1d': 10 };
/** Higher than the number of any node. */
const ALL_NODES = Number.MAX_SAFE_INTEGER;

/** All methods must be called inside a transaction. */
export class HistoryRollUp {
  readonly #statements;

  constructor(database: Sqlite) {
    const buckets = (resolution: RolledUp) => {
      const table = `history_${resolution}`;
      return {
        get: database.prepare(`SELECT figures FROM ${table} WHERE bucket = ? AND node = ?`).pluck(),
        put: database.prepare(`INSERT OR REPLACE INTO ${table} (bucket, node, figures) VALUES (?, ?, ?)`),
        next: database.prepare(`SELECT min(bucket) FROM ${table} WHERE bucket >= ?`).pluck(),
      };
    };
    this.#statements = {
      '5m': buckets('5m'),
      '1h': buckets('1h'),
      '1d': buckets('1d'),
      cursor: database.prepare('SELECT bucket, node FROM history_cursors WHERE resolution = ?'),
      setCursor: database.prepare('UPDATE history_cursors SET bucket = ?, node = ? WHERE resolution = ?'),
      rawAfter: database.prepare(
        `SELECT bucket, node, figures FROM history_raw
         WHERE (bucket, node) > (@bucket, @node) AND bucket < @before ORDER BY bucket, node, at LIMIT @limit`,
      ),
      rawOf: database.prepare('SELECT figures FROM history_raw WHERE bucket = ? AND node = ?').pluck(),
      nodesAfter: database.prepare('SELECT num FROM history_nodes WHERE num > ? ORDER BY num LIMIT ?').pluck(),
    };
  }

  /** One step of rolling up what is complete at `now`; returns whether there may be more. Idempotent, also after a crash. */
  step(now: number): boolean {
    return this.#rollUpBeats(now) || this.#rollUp('1h', now) || this.#rollUp('1d', now);
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
    this.#addFive(place, aggregates);
  }

  #rollUpBeats(now: number): boolean {
    const before = endOf('5m', now);
    const query = { ...this.cursor('5m'), before, limit: STEP_BEATS };
    const rows = this.#statements.rawAfter.all(query) as (Place & { figures: Buffer })[];
    let [place] = rows;
    if (place === undefined) return this.#skipTo('5m', before);
    let aggregates = newAggregates();
    for (const row of rows) {
      if (row.bucket !== place.bucket || row.node !== place.node) {
        this.#addFive(place, aggregates);
        aggregates = newAggregates();
        place = row;
      }
      addEncodedFigures(aggregates, row.figures);
    }
    const isLastStep = rows.length < STEP_BEATS;
    if (!isLastStep) {
      // The limit may have split the beats of the last node.
      aggregates = newAggregates();
      const beats = this.#statements.rawOf.all(place.bucket, place.node) as Buffer[];
      for (const figures of beats) addEncodedFigures(aggregates, figures);
    }
    this.#addFive(place, aggregates);
    this.#setCursor('5m', isLastStep ? { bucket: before - 1, node: ALL_NODES } : place);
    return true;
  }

  #rollUp(resolution: '1h' | '1d', now: number): boolean {
    const limit = STEP_NODES[resolution];
    let { bucket, node } = this.cursor(resolution);
    let nodes = bucket < 0 ? [] : this.#nodesAfter(node, limit);
    if (nodes.length === 0) {
      const [finer, ratio] = resolution === '1h' ? (['5m', FIVES_PER_HOUR] as const) : (['1h', HOURS_PER_DAY] as const);
      const next = this.#statements[finer].next.get((bucket + 1) * ratio) as number | null;
      // All finer buckets are rolled up by now, because they come first.
      const end = endOf(resolution, now);
      if (next === null || next >= end * ratio) return this.#skipTo(resolution, end);
      bucket = Math.floor(next / ratio);
      nodes = this.#nodesAfter(-1, limit);
    }
    for (node of nodes) {
      if (resolution === '1h') this.#makeHour({ bucket, node });
      else this.#makeDay({ bucket, node });
    }
    this.#setCursor(resolution, { bucket, node: nodes.length < limit ? ALL_NODES : node });
    return true;
  }

  /** Adds to five minutes of a node, and to its hour and day if they exist already. */
  #addFive(five: Place, aggregates: Aggregates): void {
    this.#merge('5m', five, aggregates);
    const hour = inCoarser(five, FIVES_PER_HOUR);
    if (!isAfter(hour, this.cursor('1h'))) this.#addHour(hour, aggregates);
  }

  #makeHour(hour: Place): void {
    const aggregates = newAggregates();
    for (const figures of this.#partsOf('5m', hour, FIVES_PER_HOUR)) {
      if (figures !== undefined) addEncodedAggregates(aggregates, figures);
    }
    this.#addHour(hour, aggregates);
  }

  /** Adds to an hour. Its day may exist already, if the clock was set back or no node had sent anything by then. */
  #addHour(hour: Place, aggregates: Aggregates): void {
    this.#merge('1h', hour, aggregates);
    const day = inCoarser(hour, HOURS_PER_DAY);
    if (!isAfter(day, this.cursor('1d'))) this.#makeDay(day);
  }

  /** Builds or rebuilds a day, which never holds anything that its hours do not. */
  #makeDay(day: Place): void {
    const bytes = encodeDay(this.#partsOf('1h', day, HOURS_PER_DAY));
    if (bytes !== undefined) this.#statements['1d'].put.run(day.bucket, day.node, bytes);
  }

  #merge(resolution: '5m' | '1h', { bucket, node }: Place, aggregates: Aggregates): void {
    if (!aggregates.some(hasReadings)) return;
    const { get, put } = this.#statements[resolution];
    const present = get.get(bucket, node) as Buffer | undefined;
    let merged = aggregates;
    if (present !== undefined) {
      merged = newAggregates();
      addEncodedAggregates(merged, present);
      addEncodedAggregates(merged, encodeAggregates(aggregates));
    }
    put.run(bucket, node, encodeAggregates(merged));
  }

  /** What a node has in each of the finer buckets of one bucket. */
  #partsOf(finer: '5m' | '1h', { bucket, node }: Place, ratio: number): (Buffer | undefined)[] {
    const { get } = this.#statements[finer];
    return Array.from({ length: ratio }, (_, part) => get.get(bucket * ratio + part, node) as Buffer | undefined);
  }

  #nodesAfter(node: number, limit: number): number[] {
    return this.#statements.nodesAfter.all(node, limit) as number[];
  }

  /** Moves the cursor past empty buckets, so that heartbeats arriving for them are late. @returns false: nothing is left to do. */
  #skipTo(resolution: RolledUp, end: number): false {
    if (this.cursor(resolution).bucket < end - 1) this.#setCursor(resolution, { bucket: end - 1, node: ALL_NODES });
    return false;
  }

  #setCursor(resolution: RolledUp, { bucket, node }: Place): void {
    this.#statements.setCursor.run(bucket, node, resolution);
  }
}

/** The first bucket that is not complete at `now`. */
function endOf(resolution: RolledUp, now: number): number {
  return Math.floor((now - LATE_MS) / BUCKET_MS[resolution]);
}
