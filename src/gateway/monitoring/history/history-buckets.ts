/** The rolled-up buckets of the history's tables, and the cursors that say how far each resolution is complete. */

import type { Sqlite } from '../../store/database.ts';
import { encodeDay } from './day-codec.ts';
import type { DiskHistoryTable } from './disk-history-table.ts';
import { type Aggregates, addEncodedAggregates, encodeAggregates, newAggregates } from './figure-codec.ts';
import { FIVES_PER_HOUR, HOURS_PER_DAY, inCoarser, isAfter, type Place, type RolledUp } from './resolutions.ts';

/** All is to be called inside a transaction. */
export class HistoryBuckets {
  readonly #disks: DiskHistoryTable;
  readonly #statements;

  constructor(database: Sqlite, disks: DiskHistoryTable) {
    this.#disks = disks;
    const byResolution = <T>(of: (table: string) => T): Record<RolledUp, T> => ({
      '5m': of('history_5m'),
      '1h': of('history_1h'),
      '1d': of('history_1d'),
    });
    this.#statements = {
      cursor: database.prepare('SELECT bucket, node FROM history_cursors WHERE resolution = ?'),
      setCursor: database.prepare('UPDATE history_cursors SET bucket = ?, node = ? WHERE resolution = ?'),
      get: byResolution((table) =>
        database.prepare(`SELECT figures FROM ${table} WHERE bucket = ? AND node = ?`).pluck(),
      ),
      put: byResolution((table) =>
        database.prepare(
          `INSERT INTO ${table} (bucket, node, figures) VALUES (?, ?, ?) ON CONFLICT DO UPDATE SET figures = excluded.figures`,
        ),
      ),
      next: byResolution((table) => database.prepare(`SELECT min(bucket) FROM ${table} WHERE bucket >= ?`).pluck()),
    };
  }

  /** Up to where a resolution is complete: what lies at or before it was rolled up into it. */
  cursor(resolution: RolledUp): Place {
    return this.#statements.cursor.get(resolution) as Place;
  }

  setCursor(resolution: RolledUp, { bucket, node }: Place): void {
    this.#statements.setCursor.run(bucket, node, resolution);
  }

  /** What one node has in one bucket. */
  get(resolution: RolledUp, { bucket, node }: Place): Buffer | undefined {
    return this.#statements.get[resolution].get(bucket, node) as Buffer | undefined;
  }

  /** The first bucket from `from` on in which any node has something. */
  next(resolution: RolledUp, from: number): number | null {
    return this.#statements.next[resolution].get(from) as number | null;
  }

  /** Counts what belongs into five minutes of a node there, and in all coarser buckets that were rolled up before. */
  absorb(five: Place, aggregates: Aggregates): void {
    this.#merge('5m', five, aggregates);
    const hour = inCoarser(five, FIVES_PER_HOUR);
    if (!isAfter(hour, this.cursor('1h'))) this.#mergeHour(hour, aggregates);
  }

  /** Makes an hour of its five minutes. */
  makeHour({ bucket: hour, node }: Place): void {
    const aggregates = newAggregates();
    for (let five = hour * FIVES_PER_HOUR; five < (hour + 1) * FIVES_PER_HOUR; five += 1) {
      const figures = this.get('5m', { bucket: five, node });
      if (figures !== undefined) addEncodedAggregates(aggregates, figures);
    }
    this.#mergeHour({ bucket: hour, node }, aggregates);
  }

  /** Makes a day of its hours, or makes it anew: it never holds anything that they do not. */
  makeDay({ bucket: day, node }: Place): void {
    const first = day * HOURS_PER_DAY;
    const bytes = encodeDay(
      Array.from({ length: HOURS_PER_DAY }, (_, hour) => this.get('1h', { bucket: first + hour, node })),
    );
    if (bytes !== undefined) this.#statements.put['1d'].run(day, node, bytes);
    this.#disks.sumDay(node, day);
  }

  /** An hour may come after its day was made: when the clock was set back, or when nobody had sent anything by then. */
  #mergeHour(hour: Place, aggregates: Aggregates): void {
    this.#merge('1h', hour, aggregates);
    const day = inCoarser(hour, HOURS_PER_DAY);
    if (!isAfter(day, this.cursor('1d'))) this.makeDay(day);
  }

  #merge(resolution: '5m' | '1h', { bucket, node }: Place, aggregates: Aggregates): void {
    if (aggregates.every(({ count }) => count === 0)) return;
    const present = this.get(resolution, { bucket, node });
    let merged = aggregates;
    if (present !== undefined) {
      merged = newAggregates();
      addEncodedAggregates(merged, present);
      addEncodedAggregates(merged, encodeAggregates(aggregates));
    }
    this.#statements.put[resolution].run(bucket, node, encodeAggregates(merged));
  }
}
