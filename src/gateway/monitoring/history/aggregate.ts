/**
 * Many readings of one figure as one: minimum, maximum, mean, and a sketch of their distribution. Merging aggregates loses nothing, so an hour
 * built from twelve five-minute aggregates equals the hour built from its heartbeats.
 *
 * Encoded: count, minimum, maximum − minimum and, if these two differ, sum − count × minimum and the sketch: the number of bins in use, and
 * each one's distance from the previous one and its count. All are varints. docs/adr/0019.
 */
import type { Statistics } from '../statistics.ts';
import type { VarintReader, VarintWriter } from './varints.ts';

/** Each bin is this much wider than the previous one, so a percentile is accurate to 5 %. */
const BIN_GROWTH = 1.1;
const LOG_GROWTH = Math.log(BIN_GROWTH);
/** The first bin holds readings up to 0, the last one everything from 3.6e10 up. */
const BINS = 256;

/** Readings are whole numbers. */
export class Aggregate {
  readonly hasSketch: boolean;
  count = 0;
  min = Number.POSITIVE_INFINITY;
  max = Number.NEGATIVE_INFINITY;
  sum = 0;
  /** Readings by bin; undefined without a sketch, and while all readings are equal. */
  bins: Uint32Array | undefined;

  constructor(hasSketch: boolean) {
    this.hasSketch = hasSketch;
  }

  /** Adds `count` equal readings. */
  add(value: number, count = 1): void {
    if (this.bins !== undefined || (this.hasSketch && this.count > 0 && value !== this.min)) {
      const bins = this.#openBins();
      const bin = binOf(value);
      bins[bin] = (bins[bin] ?? 0) + count;
    }
    this.#addSummary(count, value, value, value * count);
  }

  /** In the figure's own unit; null without readings. The percentile is accurate to 5 %; without a sketch it is the maximum. */
  statistics(scale: number): Statistics | null {
    if (this.count === 0) return null;
    // Because of rounding, the mean of equal values could leave their range.
    const avg = Math.min(this.max, Math.max(this.min, this.sum / this.count));
    return { min: this.min / scale, avg: avg / scale, max: this.max / scale, p95: this.#percentile95() / scale };
  }

  writeTo(writer: VarintWriter): void {
    const { count, min, max, sum, bins } = this;
    writer.unsigned(count);
    writer.signed(min);
    writer.unsigned(max - min);
    if (max === min) return;
    writer.unsigned(sum - count * min);
    if (!this.hasSketch) return;
    const used: number[] = [];
    // A loop without a closure, because this is most of the work of rolling up.
    for (let bin = 0; bins !== undefined && bin < BINS; bin += 1) if (bins[bin] !== 0) used.push(bin);
    writer.unsigned(used.length);
    let before = 0;
    for (const bin of used) {
      writer.unsigned(bin - before);
      writer.unsigned(bins?.[bin] ?? 0);
      before = bin;
    }
  }

  /** Adds what {@link writeTo} wrote. */
  addFrom(reader: VarintReader): void {
    const count = reader.unsigned();
    const min = reader.signed();
    const spread = reader.unsigned();
    if (spread === 0) {
      this.add(min, count);
      return;
    }
    const sum = reader.unsigned() + count * min;
    const used = this.hasSketch ? binCount(reader) : 0;
    if (used > 0) {
      const bins = this.#openBins();
      let bin = 0;
      for (let done = 0; done < used; done += 1) {
        bin = Math.min(bin + reader.unsigned(), BINS - 1);
        bins[bin] = (bins[bin] ?? 0) + reader.unsigned();
      }
    }
    this.#addSummary(count, min, min + spread, sum);
  }

  /** Skips what {@link addFrom} reads. */
  static skip(reader: VarintReader, hasSketch: boolean): void {
    reader.skip(2);
    if (reader.unsigned() === 0) return;
    reader.skip(1);
    if (hasSketch) reader.skip(2 * binCount(reader));
  }

  #addSummary(count: number, min: number, max: number, sum: number): void {
    this.count += count;
    this.sum += sum;
    if (min < this.min) this.min = min;
    if (max > this.max) this.max = max;
  }

  /** The bins. New ones hold what was added before, which was all equal. */
  #openBins(): Uint32Array {
    if (this.bins === undefined) {
      this.bins = new Uint32Array(BINS);
      if (this.count > 0) this.bins[binOf(this.min)] = this.count;
    }
    return this.bins;
  }

  #percentile95(): number {
    if (this.bins === undefined) return this.max;
    const rank = Math.ceil(this.count * 0.95);
    let seen = 0;
    let bin = 0;
    for (; bin < BINS - 1; bin += 1) {
      seen += this.bins[bin] ?? 0;
      if (seen >= rank) break;
    }
    const middle = bin === 0 ? 0 : BIN_GROWTH ** (bin - 0.5);
    return Math.min(this.max, Math.max(this.min, middle));
  }
}

function binOf(value: number): number {
  if (!(value >= 1)) return 0;
  return Math.min(BINS - 1, 1 + Math.floor(Math.log(value) / LOG_GROWTH + 1e-9));
}

function binCount(reader: VarintReader): number {
  return Math.min(reader.unsigned(), BINS);
}
