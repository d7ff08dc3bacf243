/**
 * Many readings of one figure in one: least, most, mean, and a sketch of their distribution. Aggregates can be merged without
 * losing anything, so an hour made of twelve five-minute ones is the hour made of its heartbeats.
 */
import type { Statistics } from '../statistics.ts';

/** Each bin of the sketch is this much wider than the one before, so a percentile is off by 5 % of itself at most. */
const BIN_GROWTH = 1.1;
const LOG_GROWTH = Math.log(BIN_GROWTH);
/** Bin 0 is for 0 and less; the last takes all from 3.6e10 up. */
export const SKETCH_BINS = 256;

/** Readings are whole numbers, as {@link FIGURES} scales them. */
export class Aggregate {
  count = 0;
  min = Number.POSITIVE_INFINITY;
  max = Number.NEGATIVE_INFINITY;
  sum = 0;
  /** Readings by bin; undefined while nobody asked for a distribution, or while all readings are equal. */
  bins: Uint32Array | undefined;
  readonly hasSketch: boolean;

  constructor(hasSketch: boolean) {
    this.hasSketch = hasSketch;
  }

  /** `count` readings that are all equal. */
  add(value: number, count = 1): void {
    if (this.hasSketch && this.count > 0 && (value !== this.min || value !== this.max))
      this.addToBin(binOf(value), count);
    else if (this.bins !== undefined) this.addToBin(binOf(value), count);
    this.addSummary(count, value, value, value * count);
  }

  /** Readings of which only the summary is known here; their bins are the caller's to add, before this. */
  addSummary(count: number, min: number, max: number, sum: number): void {
    this.count += count;
    this.sum += sum;
    if (min < this.min) this.min = min;
    if (max > this.max) this.max = max;
  }

  /** Counts into one bin. */
  addToBin(bin: number, count: number): void {
    const bins = this.openBins();
    bins[bin] = (bins[bin] ?? 0) + count;
  }

  /** The bins, made of what was added so far if there are none yet; what is counted into them is then added by {@link addSummary}. */
  openBins(): Uint32Array {
    if (this.bins === undefined) {
      this.bins = new Uint32Array(SKETCH_BINS);
      if (this.count > 0) this.bins[binOf(this.min)] = this.count;
    }
    return this.bins;
  }

  /** In the figure's own unit; null without a reading. The percentile is good to 5 % of itself; without a sketch it is the most. */
  statistics(scale: number): Statistics | null {
    if (this.count === 0) return null;
    // Summing rounds: the mean of equal values must not leave their range.
    const avg = Math.min(this.max, Math.max(this.min, this.sum / this.count));
    return { min: this.min / scale, avg: avg / scale, max: this.max / scale, p95: this.#percentile95() / scale };
  }

  #percentile95(): number {
    if (this.bins === undefined) return this.max;
    const rank = Math.ceil(this.count * 0.95);
    let seen = 0;
    let bin = 0;
    for (; bin < SKETCH_BINS - 1; bin += 1) {
      seen += this.bins[bin] ?? 0;
      if (seen >= rank) break;
    }
    return Math.min(this.max, Math.max(this.min, middleOf(bin)));
  }
}

/** The bin of a reading. */
export function binOf(value: number): number {
  if (!(value >= 1)) return 0;
  return Math.min(SKETCH_BINS - 1, 1 + Math.floor(Math.log(value) / LOG_GROWTH + 1e-9));
}

/** The middle of a bin, by ratio. */
function middleOf(bin: number): number {
  return bin === 0 ? 0 : BIN_GROWTH ** (bin - 0.5);
}
