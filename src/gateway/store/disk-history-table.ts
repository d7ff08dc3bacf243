/** How full each disk was, hour by hour, and sums of whole days over it, from which a straight line through two weeks is told at once. */
import type { DiskTrend } from '../health/forecast-disk.ts';
import { HOURS_PER_DAY } from '../history/resolutions.ts';
import type { Sqlite } from './database.ts';

/** Which hours of a node to sum, and which of its days were summed before. All are numbers since the epoch; days include both ends. */
export interface DiskPeriod {
  fromHour: number;
  firstDay: number;
  lastDay: number;
}

/** All but {@link DiskHistoryTable.trends} is to be called inside a transaction. */
export class DiskHistoryTable {
  readonly #statements;

  constructor(database: Sqlite) {
    this.#statements = {
      put: database.prepare(
        `INSERT INTO history_disks (hour, node, mount, used_pct) VALUES (?, ?, ?, ?)
         ON CONFLICT DO UPDATE SET used_pct = excluded.used_pct`,
      ),
      sumDay: database.prepare(
        `INSERT OR REPLACE INTO history_disk_days (node, mount, day, readings, first_hour, last_hour,
           sum_hours, sum_squared_hours, sum_pct, sum_squared_pct, sum_products)
         SELECT node, mount, @day, count(*), min(hour), max(hour),
           sum(hour - @from), sum((hour - @from) * (hour - @from)),
           total(used_pct), total(used_pct * used_pct), total((hour - @from) * used_pct)
         FROM history_disks WHERE node = @node AND hour >= @from AND hour < @to GROUP BY mount`,
      ),
      // A day's hours are counted from its own beginning, which is `ahead` hours later than that of the whole.
      trends: database.prepare(
        `SELECT mount, sum(readings) AS readings, min(first_hour) AS firstHour, max(last_hour) AS lastHour,
           total(sum_hours + readings * ahead) AS sumHours,
           total(sum_squared_hours + 2 * ahead * sum_hours + readings * ahead * ahead) AS sumSquaredHours,
           total(sum_pct) AS sumPct, total(sum_squared_pct) AS sumSquaredPct,
           total(sum_products + ahead * sum_pct) AS sumProducts
         FROM (
           SELECT mount, 1 AS readings, hour AS first_hour, hour AS last_hour, hour - @fromHour AS ahead,
             0 AS sum_hours, 0 AS sum_squared_hours, used_pct AS sum_pct, used_pct * used_pct AS sum_squared_pct,
             0 AS sum_products
           FROM history_disks WHERE node = @node AND hour >= @fromHour AND (hour < @daysFrom OR hour >= @daysTo)
           UNION ALL
           SELECT mount, readings, first_hour, last_hour, day * ${HOURS_PER_DAY} - @fromHour AS ahead,
             sum_hours, sum_squared_hours, sum_pct, sum_squared_pct, sum_products
           FROM history_disk_days WHERE node = @node AND day BETWEEN @firstDay AND @lastDay
         ) GROUP BY mount`,
      ),
      pruneHours: database.prepare('DELETE FROM history_disks WHERE node = ? AND hour < ?'),
      pruneDays: database.prepare('DELETE FROM history_disk_days WHERE node = ? AND day < ?'),
    };
  }

  /** Keeps how full each disk is; a later figure of the same hour takes its place. */
  insert(node: number, hour: number, disks: readonly { mount: string; usedPct: number }[]): void {
    for (const { mount, usedPct } of disks) this.#statements.put.run(hour, node, mount, usedPct);
  }

  /** Sums the hours of a day, or sums them anew. */
  sumDay(node: number, day: number): void {
    const from = day * HOURS_PER_DAY;
    this.#statements.sumDay.run({ node, day, from, to: from + HOURS_PER_DAY });
  }

  /** What a straight line through the node's disks needs, disk by disk. Sums of hours count from `fromHour`. */
  trends(node: number, { fromHour, firstDay, lastDay }: DiskPeriod): (DiskTrend & { mount: string })[] {
    const daysFrom = firstDay * HOURS_PER_DAY;
    const daysTo = Math.max(daysFrom, (lastDay + 1) * HOURS_PER_DAY);
    return this.#statements.trends.all({ node, fromHour, firstDay, lastDay, daysFrom, daysTo }) as ReturnType<
      DiskHistoryTable['trends']
    >;
  }

  /** Forgets what was before an hour. */
  prune(node: number, hour: number): void {
    this.#statements.pruneHours.run(node, hour);
    this.#statements.pruneDays.run(node, Math.floor(hour / HOURS_PER_DAY));
  }
}
