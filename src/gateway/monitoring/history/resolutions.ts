/** The resolutions in which the history lies, and the order of what lies in them. */

export const FIVE_MINUTES_MS = 5 * 60_000;
export const HOUR_MS = 3_600_000;
export const DAY_MS = 24 * HOUR_MS;
export const FIVES_PER_HOUR = HOUR_MS / FIVE_MINUTES_MS;
export const HOURS_PER_DAY = DAY_MS / HOUR_MS;

/** From fine to coarse: heartbeats, five minutes, hours, and days of UTC. */
export const RESOLUTIONS = ['raw', '5m', '1h', '1d'] as const;
export type Resolution = (typeof RESOLUTIONS)[number];
/** Made of the resolution before it. */
export type RolledUp = Exclude<Resolution, 'raw'>;

const BUCKET_MS: Readonly<Record<Resolution, number>> = {
  raw: FIVE_MINUTES_MS,
  '5m': FIVE_MINUTES_MS,
  '1h': HOUR_MS,
  '1d': DAY_MS,
};

/** A place in the order of buckets and, within a bucket, of nodes. */
export interface Place {
  /** Number of the bucket since the epoch. */
  bucket: number;
  node: number;
}

/** Length of one bucket, ms; heartbeats lie in five minutes' buckets. */
export function bucketMs(resolution: Resolution): number {
  return BUCKET_MS[resolution];
}

/** Whether `place` comes later than `other`. */
export function isAfter(place: Place, other: Place): boolean {
  return place.bucket > other.bucket || (place.bucket === other.bucket && place.node > other.node);
}

/** The place of the same node in a resolution whose buckets are `ratio` times as long. */
export function inCoarser({ bucket, node }: Place, ratio: number): Place {
  return { bucket: Math.floor(bucket / ratio), node };
}
