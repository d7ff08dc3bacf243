/** The figures of one node over a period that reports show: statistics of the whole, and a series of equal parts for a chart. */
import type { Statistics } from '../statistics.ts';
import { Aggregate } from './aggregate.ts';
import { addEncodedDay } from './day-codec.ts';
import { addEncodedAggregates, addEncodedFigures } from './figure-codec.ts';
import { FIGURES } from './figures.ts';
import { HOUR_MS } from './resolutions.ts';
import { byShownPlace, SHOWN_FIGURES, SHOWN_PLACES, type ShownFigure } from './shown-figures.ts';

export interface HistoryPeriod {
  /** Half open: `from` is in, `to` is not; ms. */
  from: number;
  to: number;
  /** Equal parts of a series. */
  parts: number;
}

class ShownHistory {
  readonly whole: Aggregate;
  readonly scale: number;
  /** By part. Thousands of short typed arrays would take longer to make than to use. */
  readonly sums: number[];
  readonly counts: number[];
  #sumBefore = 0;
  #countBefore = 0;

  constructor(place: number, parts: number) {
    const { hasSketch, scale } = FIGURES[place] ?? { hasSketch: false, scale: 1 };
    this.whole = new Aggregate(hasSketch);
    this.scale = scale;
    this.sums = new Array<number>(parts).fill(0);
    this.counts = new Array<number>(parts).fill(0);
  }

  /** Before a row is added to the whole: what that adds belongs into one part. */
  beforeRow(): void {
    this.#sumBefore = this.whole.sum;
    this.#countBefore = this.whole.count;
  }

  afterRow(part: number): void {
    this.addToPart(part, this.whole.count - this.#countBefore, this.whole.sum - this.#sumBefore);
  }

  addToPart(part: number, count: number, sum: number): void {
    this.sums[part] = (this.sums[part] ?? 0) + sum;
    this.counts[part] = (this.counts[part] ?? 0) + count;
  }
}

export class NodeHistory {
  readonly #period: HistoryPeriod;
  /** In the order of {@link SHOWN_FIGURES}. */
  readonly #shown: readonly ShownHistory[];
  /** The wholes of the same, by place in a row. */
  readonly #wholes: (Aggregate | undefined)[];

  constructor(period: HistoryPeriod) {
    this.#period = period;
    this.#shown = SHOWN_PLACES.map((place) => new ShownHistory(place, period.parts));
    this.#wholes = byShownPlace((_, index) => this.#shown[index]?.whole);
  }

  /** Counts one stored heartbeat of the time `at`, ms, or nothing if that is outside of the period. */
  addHeartbeat(at: number, figures: Uint8Array): void {
    const part = this.#partAt(at);
    if (part === undefined) return;
    for (const shown of this.#shown) shown.beforeRow();
    addEncodedFigures(this.#wholes, figures);
    for (const shown of this.#shown) shown.afterRow(part);
  }

  /** Counts a stored bucket whose middle is `at`, ms. */
  addBucket(at: number, figures: Uint8Array): void {
    const part = this.#partAt(at);
    if (part === undefined) return;
    for (const shown of this.#shown) shown.beforeRow();
    addEncodedAggregates(this.#wholes, figures);
    for (const shown of this.#shown) shown.afterRow(part);
  }

  /** Counts a stored day that begins at `from`, ms. The middle of each of its hours must lie in the period. */
  addDay(from: number, figures: Uint8Array): void {
    addEncodedDay(this.#wholes, figures, (hour, index, count, sum) => {
      const part = this.#partAt(from + (hour + 0.5) * HOUR_MS);
      if (part !== undefined) this.#shown[index]?.addToPart(part, count, sum);
    });
  }

  /** Over the whole period; null when there is no reading. */
  statistics(name: ShownFigure): Statistics | null {
    const shown = this.#of(name);
    return shown?.whole.statistics(shown.scale) ?? null;
  }

  /** The mean of each part, oldest first; null where there is no reading. */
  series(name: ShownFigure): (number | null)[] {
    const shown = this.#of(name);
    const means: (number | null)[] = [];
    for (let part = 0; part < this.#period.parts; part += 1) {
      const count = shown?.counts[part] ?? 0;
      means.push(shown === undefined || count === 0 ? null : round((shown.sums[part] ?? 0) / count / shown.scale));
    }
    return means;
  }

  #of(name: ShownFigure): ShownHistory | undefined {
    return this.#shown[SHOWN_FIGURES.indexOf(name)];
  }

  #partAt(at: number): number | undefined {
    const { from, to, parts } = this.#period;
    if (at < from || at >= to) return undefined;
    return Math.min(parts - 1, Math.floor(((at - from) / (to - from)) * parts));
  }
}

/** Two decimals: a chart shows no more, and the JSON stays small. */
function round(value: number): number {
  return Math.round(value * 100) / 100;
}
