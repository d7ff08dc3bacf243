/** Which buckets of which resolution a period is read from, so that every reading counts once and few rows are read. */
import type { HistoryTable } from './history-table.ts';
import type { HistoryPeriod } from './node-history.ts';
import {
  bucketMs,
  DAY_MS,
  FIVE_MINUTES_MS,
  FIVES_PER_HOUR,
  HOUR_MS,
  HOURS_PER_DAY,
  inCoarser,
  isAfter,
  type Place,
  type Resolution,
} from './resolutions.ts';

/** Rows after a place, up to and with a bucket. */
export interface Stretch {
  after: Place;
  last: number;
}

export interface Layer {
  resolution: Resolution;
  /** Where to look, in order. */
  stretches: Stretch[];
  /** Whether a row of this resolution is not in a coarser one that is read as well. */
  has(place: Place): boolean;
}

/** Up to where each resolution is complete, and the highest number of a node. */
export type Progress = Pick<HistoryTable, 'cursor' | 'lastNode'>;

const NOTHING: Place = { bucket: -1, node: -1 };

/** The finest resolution that is worth reading for parts of this length, ms. Of hours, whole days are read as such. */
export function resolutionFor({ from, to, parts }: HistoryPeriod): Exclude<Resolution, '1d'> {
  const partMs = (to - from) / parts;
  if (partMs >= HOUR_MS) return '1h';
  return partMs >= FIVE_MINUTES_MS / 2 ? '5m' : 'raw';
}

/**
 * From coarse to fine; what is not rolled up yet comes from the finer resolution. A bucket counts where its middle lies, and a
 * day as its hours do, so the edges of a long period are good to half an hour. The cursors are read once, so rolling up
 * meanwhile does no harm.
 */
export function layersOf(table: Progress, period: HistoryPeriod): Layer[] {
  const coarsest = resolutionFor(period);
  const beats = coarsest === 'raw' ? NOTHING : table.cursor('5m');
  const hours = coarsest === '1h' ? table.cursor('1h') : NOTHING;
  const lastNode = table.lastNode();
  const raw: Layer = {
    resolution: 'raw',
    stretches: [{ after: laterOf(beats, edge('raw', period.from)), last: bucketOf('raw', period.to) }],
    has: (place) => isAfter(place, beats),
  };
  if (coarsest === 'raw') return [raw];
  const fives: Layer = {
    resolution: '5m',
    stretches: [
      {
        after: laterOf(before(undone(hours, lastNode) * FIVES_PER_HOUR), edge('5m', period.from)),
        last: bucketOf('5m', period.to),
      },
    ],
    has: (place) => isAfter(inCoarser(place, FIVES_PER_HOUR), hours) && !isAfter(place, beats),
  };
  if (coarsest === '5m') return [fives, raw];
  return [...daysAndHours(period, hours, table.cursor('1d'), lastNode), fives, raw];
}

/** Days whose hours all lie in the period, as far as they are made, and the hours around them. */
function daysAndHours(period: HistoryPeriod, hours: Place, days: Place, lastNode: number): Layer[] {
  const firstDay = Math.ceil((period.from - HOUR_MS / 2) / DAY_MS);
  const daysEnd = Math.max(firstDay, Math.ceil((period.to + HOUR_MS / 2) / DAY_MS) - 1);
  const start = edge('1h', period.from);
  const last = bucketOf('1h', period.to);
  const hoursAgain = before(Math.max(firstDay, Math.min(daysEnd, undone(days, lastNode))) * HOURS_PER_DAY);
  return [
    {
      resolution: '1d',
      stretches: [{ after: before(firstDay), last: daysEnd - 1 }],
      has: (place) => !isAfter(place, days),
    },
    {
      resolution: '1h',
      stretches: [
        { after: start, last: Math.min(last, firstDay * HOURS_PER_DAY - 1) },
        { after: laterOf(start, hoursAgain), last },
      ],
      has: (place) => {
        if (isAfter(place, hours)) return false;
        const day = inCoarser(place, HOURS_PER_DAY);
        return day.bucket < firstDay || day.bucket >= daysEnd || isAfter(day, days);
      },
    },
  ];
}

/** The first bucket that some node may still be missing in: the cursor may stand between two nodes of one. */
function undone({ bucket, node }: Place, lastNode: number): number {
  return node < lastNode ? bucket : bucket + 1;
}

/** Before all rows that may have to do with what is from `from` on. */
function edge(resolution: Resolution, from: number): Place {
  return before(bucketOf(resolution, from));
}

/** Before the first node of a bucket. */
function before(bucket: number): Place {
  return { bucket: Math.max(0, bucket) - 1, node: Number.MAX_SAFE_INTEGER };
}

function bucketOf(resolution: Resolution, at: number): number {
  return Math.floor(at / bucketMs(resolution));
}

function laterOf(place: Place, other: Place): Place {
  return isAfter(place, other) ? place : other;
}
