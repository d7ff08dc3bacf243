/** How full each disk was, hour by hour with daily sums, and the forecast of when it will be full: a straight line fitted by least squares. */
import { prepareAll, type Sqlite } from '../../store/database.ts';
import { DAY_MS, HOUR_MS, HOURS_PER_DAY } from './resolutions.ts';

/** How far back forecasts look, ms. */
export const DISK_HISTORY_MS = 14 * DAY_MS;
/** Minimum number of readings, and of hours between the first and the last. */
const MIN_READINGS = 24;
const MIN_SPAN_HOURS = 23;
/** Share of the variance that the line must explain (R²). A disk that is cleaned every night stays below. */
const MIN_FIT = 0.8;
/** Percentage points that the line must rise over the history; less may be noise. */
const MIN_RISE_PCT = 0.5;
/** A forecast reaches at most this many times the length of the history, and at most this far. */
const MAX_SPANS = 5;
const MAX_AHEAD_HOURS = 60 * 24;

/** Sums over the hourly readings of one disk. Hours in sums count from the start of the requested history. */
export interface DiskTrend {
  mount: string;
  readings: number;
  /** Hours since the epoch. */
  firstHour: number;
  lastHour: number;
  sumHours: number;
  sumSquaredHours: number;
  sumPct: number;
  sumSquaredPct: number;
  sumProducts: number;
}

export interface DiskForecast {
  /** When the line reaches 100 %, ms; not before now. */
  fullAt: number;
  /** Percentage points. */
  risePctPerDay: number;
}

/** All but the reading of trends must be called inside a transaction. */
export class DiskHistory {
  readonly #statements;

  constructor(database: Sqlite) {
    const node = '(SELECT num FROM history_nodes WHERE node_id = @nodeId)';
    this.#statements = prepareAll(database, {
      addNode: 'INSERT OR IGNORE INTO history_nodes (node_id) VALUES (?)',
      put: `INSERT INTO history_disks (hour, node, mount, used_pct) VALUES (@hour, ${node}, @mount, @usedPct)
         ON CONFLICT DO UPDATE SET used_pct = excluded.used_pct`,
      sumDay: `INSERT OR REPLACE INTO history_disk_days (node, mount, day, readings, first_hour, last_hour,
           sum_hours, sum_squared_hours, sum_pct, sum_squared_pct, sum_products)
         SELECT node, mount, @day, count(*), min(hour), max(hour),
           sum(hour - @from), sum((hour - @from) * (hour - @from)),
           total(used_pct), total(used_pct * used_pct), total((hour - @from) * used_pct)
         FROM history_disks WHERE node = ${node} AND hour >= @from AND hour < @to GROUP BY mount`,
      // The hours of a day's sums count from its own beginning, which is `ahead` hours after that of the history.
      trends: `SELECT node_id AS nodeId, mount, sum(readings) AS readings, min(first_hour) AS firstHour, max(last_hour) AS lastHour,
           total(sum_hours + readings * ahead) AS sumHours,
           total(sum_squared_hours + 2 * ahead * sum_hours + readings * ahead * ahead) AS sumSquaredHours,
           total(sum_pct) AS sumPct, total(sum_squared_pct) AS sumSquaredPct,
           total(sum_products + ahead * sum_pct) AS sumProducts
         FROM (SELECT *, day * ${HOURS_PER_DAY} - @zero AS ahead FROM history_nodes JOIN history_disk_days ON node = num
           WHERE node_id IN (SELECT value FROM json_each(@nodeIds)) AND day >= @firstDay)
         GROUP BY node, mount`,
      pruneHours: `DELETE FROM history_disks WHERE node = ${node} AND hour < @hour`,
      pruneDays: `DELETE FROM history_disk_days WHERE node = ${node} AND day < @day`,
    });
  }

  /** Stores how full each disk is; a later reading in the same hour replaces the earlier one. */
  insert(nodeId: string, at: number, disks: readonly { mount: string; usedPct: number }[]): void {
    const hour = Math.floor(at / HOUR_MS);
    const day = Math.floor(hour / HOURS_PER_DAY);
    const from = day * HOURS_PER_DAY;
    this.#statements.addNode.run(nodeId);
    for (const { mount, usedPct } of disks) this.#statements.put.run({ hour, nodeId, mount, usedPct });
    this.#statements.sumDay.run({ nodeId, day, from, to: from + HOURS_PER_DAY });
  }

  /** Trends of the disks of these nodes, by node, starting with the first whole UTC day after `from`, ms; hours count from that of `from`. */
  trendsOf(nodeIds: readonly string[], from: number): Map<string, DiskTrend[]> {
    const zero = Math.floor(from / HOUR_MS);
    const firstDay = Math.ceil(zero / HOURS_PER_DAY);
    const rows = this.#statements.trends.all({ nodeIds: JSON.stringify(nodeIds), zero, firstDay });
    const trends = new Map<string, DiskTrend[]>();
    for (const { nodeId, ...trend } of rows as (DiskTrend & { nodeId: string })[]) {
      trends.set(nodeId, [...(trends.get(nodeId) ?? []), trend]);
    }
    return trends;
  }

  /** When disks of these nodes will be full, by node. */
  forecastsOf(nodeIds: readonly string[], now: number): Map<string, (DiskForecast & { mount: string })[]> {
    const from = now - DISK_HISTORY_MS;
    const forecasts = [...this.trendsOf(nodeIds, from)].map(([nodeId, trends]) => {
      const found = trends.flatMap(({ mount, ...trend }) => {
        const forecast = forecastDisk(trend, from, now);
        return forecast === null ? [] : [{ mount, ...forecast }];
      });
      return [nodeId, found] as const;
    });
    return new Map(forecasts);
  }

  /** Deletes the readings of a node before `before`, ms. */
  prune(nodeId: string, before: number): void {
    const hour = Math.floor(before / HOUR_MS);
    this.#statements.pruneHours.run({ nodeId, hour });
    this.#statements.pruneDays.run({ nodeId, day: Math.floor(hour / HOURS_PER_DAY) });
  }
}

/**
 * Null for a disk that shrinks, stays, is noisy, is too new, or will be full too far ahead. Pure.
 * @param from Start of the trend's sums, ms.
 */
export function forecastDisk(trend: Omit<DiskTrend, 'mount'>, from: number, now: number): DiskForecast | null {
  const { readings, sumHours, sumSquaredHours, sumPct, sumSquaredPct, sumProducts } = trend;
  const spanHours = trend.lastHour - trend.firstHour;
  if (readings < MIN_READINGS || spanHours < MIN_SPAN_HOURS) return null;
  const meanHour = sumHours / readings;
  const meanPct = sumPct / readings;
  const timeSpread = sumSquaredHours - readings * meanHour ** 2;
  const pctSpread = sumSquaredPct - readings * meanPct ** 2;
  const covariance = sumProducts - readings * meanHour * meanPct;
  if (!(timeSpread > 0 && pctSpread > 0)) return null;
  const slope = covariance / timeSpread;
  const fit = covariance ** 2 / (timeSpread * pctSpread);
  if (!(slope * spanHours >= MIN_RISE_PCT) || fit < MIN_FIT) return null;
  const nowHour = now / HOUR_MS - Math.floor(from / HOUR_MS);
  const aheadHours = Math.max(0, (100 - meanPct) / slope - (nowHour - meanHour));
  if (aheadHours > Math.min(MAX_AHEAD_HOURS, MAX_SPANS * spanHours)) return null;
  return { fullAt: Math.round(now + aheadHours * HOUR_MS), risePctPerDay: slope * 24 };
}
