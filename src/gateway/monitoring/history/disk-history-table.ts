/** How full each disk was, hour by hour, and sums of each day over it, from which a straight line through two weeks is told at once. */

import type { Sqlite } from '../../store/database.ts';
import type { DiskTrend } from './forecast-disk.ts';
import { HOURS_PER_DAY } from './resolutions.ts';

/** One disk of one node, by the node's number in the history. */
export interface NodeDiskTrend extends DiskTrend {
  node: number;
  mount: string;
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
      trendsOfHours: database.prepare(
        `SELECT node, mount, count(*) AS readings, min(hour) AS firstHour, max(hour) AS lastHour,
           total(hour - @zero) AS sumHours, total((hour - @zero) * (hour - @zero)) AS sumSquaredHours,
           total(used_pct) AS sumPct, total(used_pct * used_pct) AS sumSquaredPct,
           total((hour - @zero) * used_pct) AS sumProducts
         FROM history_disks
         WHERE node IN (SELECT value FROM json_each(@nodes)) AND hour >= @firstDay * ${HOURS_PER_DAY}
         GROUP BY node, mount`,
      ),
      // A day's hours are counted from its own beginning, which is `ahead` hours after the zero of the whole.
      trendsOfDays: database.prepare(
        `SELECT node, mount, sum(readings) AS readings, min(first_hour) AS firstHour, max(last_hour) AS lastHour,
           total(sum_hours + readings * ahead) AS sumHours,
           total(sum_squared_hours + 2 * ahead * sum_hours + readings * ahead * ahead) AS sumSquaredHours,
           total(sum_pct) AS sumPct, total(sum_squared_pct) AS sumSquaredPct,
           total(sum_products + ahead * sum_pct) AS sumProducts
         FROM (SELECT *, day * ${HOURS_PER_DAY} - @zero AS ahead FROM history_disk_days
           WHERE node IN (SELECT value FROM json_each(@nodes)) AND day >= @firstDay)
         GROUP BY node, mount`,
      ),
      pruneHours: database.prepare('DELETE FROM history_disks WHERE node = ? AND hour < ?'),
      pruneDays: database.prepare('DELETE FROM history_disk_days WHERE node = ? AND day < ?'),
    };
  }

  /** Keeps how full each disk is; a later figure of the same hour takes its place. */
  insert(node: number, hour: number, disks: readonly { mount: string; usedPct: number }[]): void {
    for (const { mount, usedPct } of disks) this.#statements.put.run(hour, node, mount, usedPct);
    this.sumDay(node, Math.floor(hour / HOURS_PER_DAY));
  }

  /** Sums the hours of a day, or sums them anew. */
  sumDay(node: number, day: number): void {
    const from = day * HOURS_PER_DAY;
    this.#statements.sumDay.run({ node, day, from, to: from + HOURS_PER_DAY });
  }

  /**
   * What a straight line through the disks of some nodes needs, from the first day on that begins at or after the hour `zero`,
   * from which the sums count; from the hours instead of the days' sums unless `areDaysMade`.
   */
  trends(nodes: readonly number[], zero: number, areDaysMade: boolean): NodeDiskTrend[] {
    const { trendsOfDays, trendsOfHours } = this.#statements;
    const firstDay = Math.ceil(zero / HOURS_PER_DAY);
    return (areDaysMade ? trendsOfDays : trendsOfHours).all({
      nodes: JSON.stringify(nodes),
      zero,
      firstDay,
    }) as NodeDiskTrend[];
  }

  /** Forgets what was before an hour. */
  prune(node: number, hour: number): void {
    this.#statements.pruneHours.run(node, hour);
    this.#statements.pruneDays.run(node, Math.floor(hour / HOURS_PER_DAY));
  }
}
