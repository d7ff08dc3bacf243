/** Rolls the history up in small steps: heartbeats into five minutes, those into hours, and those into days. docs/adr/0019. */

import type { Sqlite } from '../../store/database.ts';
import { type Aggregates, addEncodedFigures, newAggregates } from './figure-codec.ts';
import type { HistoryBuckets } from './history-buckets.ts';
import { DAY_MS, FIVE_MINUTES_MS, FIVES_PER_HOUR, HOUR_MS, HOURS_PER_DAY, type Place } from './resolutions.ts';

/** A heartbeat may still be on its way into the store when its five minutes are over, ms. */
const LATE_MS = 5_000;
/** Most heartbeats, and most nodes' hours and days, that one step rolls up: a few milliseconds of work. */
const STEP_BEATS = 1_000;
const STEP_HOURS = 100;
const STEP_DAYS = 10;

interface RawRow extends Place {
  figures: Buffer;
}

/** A resolution that is made of the buckets of a finer one. */
interface Coarser {
  resolution: '1h' | '1d';
  finer: '5m' | '1h';
  /** Finer buckets in one. */
  ratio: number;
  lengthMs: number;
  stepNodes: number;
  make(place: Place): void;
}

export class HistoryRollUp {
  readonly #buckets: HistoryBuckets;
  readonly #hours: Coarser;
  readonly #days: Coarser;
  readonly #statements;

  constructor(database: Sqlite, buckets: HistoryBuckets) {
    this.#buckets = buckets;
    this.#hours = {
      resolution: '1h',
      finer: '5m',
      ratio: FIVES_PER_HOUR,
      lengthMs: HOUR_MS,
      stepNodes: STEP_HOURS,
      make: (place) => buckets.makeHour(place),
    };
    this.#days = {
      resolution: '1d',
      finer: '1h',
      ratio: HOURS_PER_DAY,
      lengthMs: DAY_MS,
      stepNodes: STEP_DAYS,
      make: (place) => buckets.makeDay(place),
    };
    this.#statements = {
      rawAfter: database.prepare(
        `SELECT bucket, node, figures FROM history_raw
         WHERE (bucket, node) > (@bucket, @node) AND bucket < @before ORDER BY bucket, node, at LIMIT @limit`,
      ),
      rawOf: database.prepare('SELECT figures FROM history_raw WHERE bucket = ? AND node = ?').pluck(),
      nodesAfter: database.prepare('SELECT num FROM history_nodes WHERE num > ? ORDER BY num LIMIT ?').pluck(),
    };
  }

  /** One piece of what is complete at `now`; whether there may be more to do. In a transaction it is right after any crash. */
  step(now: number): boolean {
    return this.#rollUpBeats(now) || this.#rollUp(this.#hours, now) || this.#rollUp(this.#days, now);
  }

  #rollUpBeats(now: number): boolean {
    const { rawAfter, rawOf } = this.#statements;
    const before = Math.floor((now - LATE_MS) / FIVE_MINUTES_MS);
    const rows = rawAfter.all({ ...this.#buckets.cursor('5m'), before, limit: STEP_BEATS }) as RawRow[];
    let [place] = rows;
    if (place === undefined) return false;
    let aggregates: Aggregates = newAggregates();
    for (const row of rows) {
      if (row.bucket !== place.bucket || row.node !== place.node) {
        this.#buckets.absorb(place, aggregates);
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
    this.#buckets.absorb(place, aggregates);
    this.#buckets.setCursor('5m', place);
    return true;
  }

  #rollUp({ resolution, finer, ratio, lengthMs, stepNodes, make }: Coarser, now: number): boolean {
    const { nodesAfter } = this.#statements;
    let { bucket, node } = this.#buckets.cursor(resolution);
    let nodes = (bucket < 0 ? [] : nodesAfter.all(node, stepNodes)) as number[];
    if (nodes.length === 0) {
      const next = this.#buckets.next(finer, (bucket + 1) * ratio);
      if (next === null) return false;
      bucket = Math.floor(next / ratio);
      nodes = nodesAfter.all(-1, stepNodes) as number[];
      // The last of what it is made of was rolled up by now, since that goes first.
      if ((bucket + 1) * lengthMs + LATE_MS > now || nodes.length === 0) return false;
    }
    for (node of nodes) make({ bucket, node });
    this.#buckets.setCursor(resolution, { bucket, node });
    return true;
  }
}
