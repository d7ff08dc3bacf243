/** Which buckets of which resolution a period is read from, so that every reading counts once and few rows are read. */
import type { HistoryTable } from '../store/history-table.ts';
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

export interface Layer {
  resolution: Resolution;
  /** Buckets to look into, first and last, in order. */
  stretches: [first: number, last: number][];
  /** Whether a row of this resolution is not in a coarser one that is read as well. */
  has(place: Place): boolean;
}

/** Up to where each resolution is complete. */
type Cursors = Pick<HistoryTable, 'cursor'>;

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
export function layersOf(table: Cursors, period: HistoryPeriod): Layer[] {
  const coarsest = resolutionFor(period);
  const beats = coarsest === 'raw' ? NOTHING : table.cursor('5m');
  const hours = coarsest === '1h' ? table.cursor('1h') : NOTHING;
  const raw: Layer = {
    resolution: 'raw',
    stretches: [stretch('raw', period, beats.bucket)],
    has: (place) => isAfter(place, beats),
  };
  if (coarsest === 'raw') return [raw];
  const fives: Layer = {
    resolution: '5m',
    // Some nodes of the cursor's hour may be rolled up and others not.
    stretches: [stretch('5m', period, hours.bucket * FIVES_PER_HOUR)],
    has: (place) => isAfter(inCoarser(place, FIVES_PER_HOUR), hours) && !isAfter(place, beats),
  };
  if (coarsest === '5m') return [fives, raw];
  return [...daysAndHours(period, hours, table.cursor('1d')), fives, raw];
}

/** Days whose hours all lie in the period, as far as they are made, and the hours around them. */
function daysAndHours(period: HistoryPeriod, hours: Place, days: Place): Layer[] {
  const firstDay = Math.ceil((period.from - HOUR_MS / 2) / DAY_MS);
  const daysEnd = Math.max(firstDay, Math.ceil((period.to + HOUR_MS / 2) / DAY_MS) - 1);
  const [firstHour, lastHour] = stretch('1h', period, 0);
  // Some nodes of the cursor's day may have it and others not.
  const undone = Math.max(firstDay, Math.min(daysEnd, days.bucket)) * HOURS_PER_DAY;
  return [
    { resolution: '1d', stretches: [[firstDay, daysEnd - 1]], has: (place) => !isAfter(place, days) },
    {
      resolution: '1h',
      stretches: [
        [firstHour, Math.min(lastHour, firstDay * HOURS_PER_DAY - 1)],
        [Math.max(firstHour, undone), lastHour],
      ],
      has: (place) => {
        if (isAfter(place, hours)) return false;
        const day = inCoarser(place, HOURS_PER_DAY);
        return day.bucket < firstDay || day.bucket >= daysEnd || isAfter(day, days);
      },
    },
  ];
}

/** The buckets that may have to do with the period, none before `first`. */
function stretch(resolution: Resolution, { from, to }: HistoryPeriod, first: number): [first: number, last: number] {
  const lengthMs = bucketMs(resolution);
  return [Math.max(0, first, Math.floor(from / lengthMs)), Math.floor(to / lengthMs)];
}
