/** The resolutions in which the history is stored, and which of them a period is read from. */

export const FIVE_MINUTES_MS = 5 * 60_000;
export const HOUR_MS = 3_600_000;
export const DAY_MS = 24 * HOUR_MS;
export const FIVES_PER_HOUR = HOUR_MS / FIVE_MINUTES_MS;
export const HOURS_PER_DAY = DAY_MS / HOUR_MS;

/** From fine to coarse: heartbeats, five minutes, hours, and UTC days. */
export const RESOLUTIONS = ['raw', '5m', '1h', '1d'] as const;
export type Resolution = (typeof RESOLUTIONS)[number];
/** Each is built from the previous resolution. */
export type RolledUp = Exclude<Resolution, 'raw'>;

/** Length of a bucket, ms. Heartbeats are filed under five-minute buckets. */
export const BUCKET_MS: Readonly<Record<Resolution, number>> = {
  raw: FIVE_MINUTES_MS,
  '5m': FIVE_MINUTES_MS,
  '1h': HOUR_MS,
  '1d': DAY_MS,
};

/** A position in the order of rows: by bucket, then by node. */
export interface Place {
  /** Buckets since the epoch. */
  bucket: number;
  node: number;
}

export function isAfter(place: Place, other: Place): boolean {
  return place.bucket > other.bucket || (place.bucket === other.bucket && place.node > other.node);
}

/** The same node in a resolution whose buckets are `ratio` times as long. */
export function inCoarser({ bucket, node }: Place, ratio: number): Place {
  return { bucket: Math.floor(bucket / ratio), node };
}

export interface HistoryPeriod {
  /** Half open: includes `from` but not `to`; ms. */
  from: number;
  to: number;
  /** Number of equal parts in a series. */
  parts: number;
}

/** Consecutive buckets of one resolution. */
export interface Layer {
  resolution: Resolution;
  first: number;
  last: number;
}

/** How far the history is rolled up. */
export interface Progress {
  /** Up to when a resolution is complete for all nodes, ms. */
  completeUntil(resolution: RolledUp): number;
}

/** The coarsest resolution, apart from days, that still resolves the period's parts. */
export function resolutionFor({ from, to, parts }: HistoryPeriod): Exclude<Resolution, '1d'> {
  const partMs = (to - from) / parts;
  if (partMs >= HOUR_MS) return '1h';
  return partMs >= FIVE_MINUTES_MS / 2 ? '5m' : 'raw';
}

/**
 * The rows to read for a period, oldest first, so that each reading counts once and few rows are read. Whatever is not rolled up yet comes from the
 * finer resolution. A bucket counts where its middle is, and a day as its hours do, so the edges of a long period are accurate to half an hour.
 */
export function layersOf(rollUp: Progress, period: HistoryPeriod): Layer[] {
  const { from, to } = period;
  const coarsest = resolutionFor(period);
  const hoursEnd = coarsest === '1h' ? rollUp.completeUntil('1h') : from;
  const fivesEnd = coarsest === 'raw' ? from : rollUp.completeUntil('5m');
  // Days of which all hours are in the period.
  const daysFrom = Math.ceil((from - HOUR_MS / 2) / DAY_MS) * DAY_MS;
  const lastDaysEnd = (Math.ceil((to + HOUR_MS / 2) / DAY_MS) - 1) * DAY_MS;
  const daysEnd = coarsest === '1h' ? Math.min(lastDaysEnd, rollUp.completeUntil('1d')) : from;
  const ends: [Resolution, end: number][] = [
    ['1h', Math.min(daysFrom, hoursEnd)],
    ['1d', daysEnd],
    ['1h', hoursEnd],
    ['5m', fivesEnd],
    ['raw', to],
  ];
  const layers: Layer[] = [];
  let begin = from;
  for (const [resolution, end] of ends) {
    const layerEnd = Math.min(end, to);
    if (layerEnd <= begin) continue;
    const lengthMs = BUCKET_MS[resolution];
    layers.push({ resolution, first: Math.floor(begin / lengthMs), last: Math.ceil(layerEnd / lengthMs) - 1 });
    begin = layerEnd;
  }
  return layers;
}
