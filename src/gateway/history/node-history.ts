/** The figures of one node over a period: statistics of the whole, and a series of equal parts for a chart. */
import type { Statistics } from '../health/statistics.ts';
import type { Aggregate } from './aggregate.ts';
import { type Aggregates, addEncodedAggregates, addEncodedFigures, newAggregates } from './figure-codec.ts';
import { FIGURES, type FigureName } from './figures.ts';

export interface HistoryPeriod {
  /** Half open: `from` is in, `to` is not; ms. */
  from: number;
  to: number;
  /** Equal parts of a series. */
  parts: number;
}

const INDEX: ReadonlyMap<FigureName, number> = new Map(FIGURES.map(({ name }, index) => [name, index]));

/** Sums and counts of the parts of one figure. */
interface PartSums {
  whole: Aggregate;
  sums: Float64Array;
  counts: Float64Array;
  /** Of the whole, before a row is added: what that adds belongs into one part. */
  sumBefore: number;
  countBefore: number;
}

export class NodeHistory {
  readonly #period: HistoryPeriod;
  readonly #whole = newAggregates();
  /** Of the figures that have a sketch; those are the ones that charts show. */
  readonly #series: readonly PartSums[];

  constructor(period: HistoryPeriod) {
    this.#period = period;
    this.#series = this.#whole
      .filter(({ hasSketch }) => hasSketch)
      .map((whole) => ({
        whole,
        sums: new Float64Array(period.parts),
        counts: new Float64Array(period.parts),
        sumBefore: 0,
        countBefore: 0,
      }));
  }

  /** Counts one stored heartbeat of the time `at`, ms, or nothing if that is outside of the period. */
  addHeartbeat(at: number, figures: Uint8Array): void {
    this.#add(at, (whole) => addEncodedFigures(whole, figures));
  }

  /** Counts a stored bucket whose middle is `at`, ms. */
  addBucket(at: number, figures: Uint8Array): void {
    this.#add(at, (whole) => addEncodedAggregates(whole, figures));
  }

  /** Over the whole period; null when there is no reading. */
  statistics(name: FigureName): Statistics | null {
    const index = INDEX.get(name) ?? 0;
    return this.#whole[index]?.statistics(FIGURES[index]?.scale ?? 1) ?? null;
  }

  /** The mean of each part, oldest first, of a figure that has a sketch; null where there is no reading. */
  series(name: FigureName): (number | null)[] {
    const index = INDEX.get(name) ?? 0;
    const scale = FIGURES[index]?.scale ?? 1;
    const part = this.#series.find(({ whole }) => whole === this.#whole[index]);
    return Array.from({ length: this.#period.parts }, (_, at) => {
      const count = part?.counts[at] ?? 0;
      return count === 0 ? null : round((part?.sums[at] ?? 0) / count / scale);
    });
  }

  #add(at: number, add: (whole: Aggregates) => void): void {
    const { from, to, parts } = this.#period;
    if (at < from || at >= to) return;
    const slot = Math.min(parts - 1, Math.floor(((at - from) / (to - from)) * parts));
    for (const series of this.#series) {
      series.countBefore = series.whole.count;
      series.sumBefore = series.whole.sum;
    }
    add(this.#whole);
    for (const { whole, counts, sums, countBefore, sumBefore } of this.#series) {
      counts[slot] = (counts[slot] ?? 0) + whole.count - countBefore;
      sums[slot] = (sums[slot] ?? 0) + whole.sum - sumBefore;
    }
  }
}

/** Two decimals: a chart shows no more, and the JSON stays small. */
function round(value: number): number {
  return Math.round(value * 100) / 100;
}
