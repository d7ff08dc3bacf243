/** The figures of one node over a period that reports show: statistics of the whole, and a series of equal parts for a chart. */
import type { Statistics } from '../health/statistics.ts';
import { Aggregate } from './aggregate.ts';
import { addEncodedAggregates, addEncodedFigures } from './figure-codec.ts';
import { FIGURES, type FigureName } from './figures.ts';

export interface HistoryPeriod {
  /** Half open: `from` is in, `to` is not; ms. */
  from: number;
  to: number;
  /** Equal parts of a series. */
  parts: number;
}

/** The rest of a row is passed over, which is half of the work on it. */
const SHOWN = ['cpuPct', 'memUsedPct', 'diskUsedPct', 'rttMs'] as const satisfies readonly FigureName[];
export type ShownFigure = (typeof SHOWN)[number];

/** Where each of {@link SHOWN} lies in a row, and nothing after the last of them. */
const PLACES = SHOWN.map((name) => FIGURES.findIndex((figure) => figure.name === name));

class ShownHistory {
  readonly whole: Aggregate;
  readonly scale: number;
  /** By part. */
  readonly sums: Float64Array;
  readonly counts: Float64Array;
  #sumBefore = 0;
  #countBefore = 0;

  constructor(place: number, parts: number) {
    const { hasSketch, scale } = FIGURES[place] ?? { hasSketch: false, scale: 1 };
    this.whole = new Aggregate(hasSketch);
    this.scale = scale;
    this.sums = new Float64Array(parts);
    this.counts = new Float64Array(parts);
  }

  /** Before a row is added to the whole: what that adds belongs into one part. */
  beforeRow(): void {
    this.#sumBefore = this.whole.sum;
    this.#countBefore = this.whole.count;
  }

  afterRow(part: number): void {
    this.sums[part] = (this.sums[part] ?? 0) + this.whole.sum - this.#sumBefore;
    this.counts[part] = (this.counts[part] ?? 0) + this.whole.count - this.#countBefore;
  }
}

export class NodeHistory {
  readonly #period: HistoryPeriod;
  /** In the order of {@link SHOWN}. */
  readonly #shown: readonly ShownHistory[];
  /** The wholes of the same, by place in a row. */
  readonly #wholes: (Aggregate | undefined)[];

  constructor(period: HistoryPeriod) {
    this.#period = period;
    this.#shown = PLACES.map((place) => new ShownHistory(place, period.parts));
    this.#wholes = Array.from({ length: Math.max(...PLACES) + 1 }, (_, place) => {
      return this.#shown[PLACES.indexOf(place)]?.whole;
    });
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

  /** Over the whole period; null when there is no reading. */
  statistics(name: ShownFigure): Statistics | null {
    const shown = this.#of(name);
    return shown?.whole.statistics(shown.scale) ?? null;
  }

  /** The mean of each part, oldest first; null where there is no reading. */
  series(name: ShownFigure): (number | null)[] {
    const shown = this.#of(name);
    return Array.from({ length: this.#period.parts }, (_, at) => {
      const count = shown?.counts[at] ?? 0;
      return shown === undefined || count === 0 ? null : round((shown.sums[at] ?? 0) / count / shown.scale);
    });
  }

  #of(name: ShownFigure): ShownHistory | undefined {
    return this.#shown[SHOWN.indexOf(name)];
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
