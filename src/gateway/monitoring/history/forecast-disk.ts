/** Says when a disk will be full, if its history lets anybody say so: a straight line through it (least squares), or nothing. */

const HOUR_MS = 3_600_000;
const DAY_HOURS = 24;
/** Readings and time that a line needs. */
const LEAST_READINGS = 24;
const LEAST_SPAN_HOURS = 23;
/** Share of the ups and downs that the line must explain (R²). A disk that is cleaned every night stays below. */
const LEAST_FIT = 0.8;
/** Percentage points that the line must rise over the history. Less may be noise. */
const LEAST_RISE_PCT = 0.5;
/** Nobody knows what comes later than this many times the history, or at all later than this. */
const MOST_SPANS = 5;
const MOST_AHEAD_HOURS = 60 * DAY_HOURS;

/** Sums over hourly readings of one disk; hours of the sums count from the beginning of the history that was asked for. */
export interface DiskTrend {
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

/**
 * Null for a disk that shrinks, stays, jumps about, is too new, or will be full too far away to say. The sums of `trend`
 * begin at the hour of `from`; both times are ms. Pure.
 */
export function forecastDisk(trend: DiskTrend, from: number, now: number): DiskForecast | null {
  const { readings, sumHours, sumSquaredHours, sumPct, sumSquaredPct, sumProducts } = trend;
  const spanHours = trend.lastHour - trend.firstHour;
  if (readings < LEAST_READINGS || spanHours < LEAST_SPAN_HOURS) return null;
  const meanHour = sumHours / readings;
  const meanPct = sumPct / readings;
  const timeSpread = sumSquaredHours - readings * meanHour ** 2;
  const pctSpread = sumSquaredPct - readings * meanPct ** 2;
  const covariance = sumProducts - readings * meanHour * meanPct;
  if (!(timeSpread > 0 && pctSpread > 0)) return null;
  const slope = covariance / timeSpread;
  const fit = covariance ** 2 / (timeSpread * pctSpread);
  if (!(slope * spanHours >= LEAST_RISE_PCT) || fit < LEAST_FIT) return null;
  const nowHour = now / HOUR_MS - Math.floor(from / HOUR_MS);
  const aheadHours = Math.max(0, (100 - meanPct) / slope - (nowHour - meanHour));
  if (aheadHours > Math.min(MOST_AHEAD_HOURS, MOST_SPANS * spanHours)) return null;
  return { fullAt: Math.round(now + aheadHours * HOUR_MS), risePctPerDay: slope * DAY_HOURS };
}
