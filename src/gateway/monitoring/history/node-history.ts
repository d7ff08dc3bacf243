/** The figures of a node over a period, as reports show them: statistics of the whole, and a series of equal parts for a chart. */
import { setImmediate } from 'node:timers/promises';
import type { Statistics } from '../statistics.ts';
import { Aggregate } from './aggregate.ts';
import { FIGURES, SHOWN_PLACES, type ShownFigure } from './figures.ts';
import type { HistoryTable } from './history-table.ts';
import { BUCKET_MS, type HistoryPeriod, HOUR_MS, layersOf, type Progress, type Resolution } from './resolutions.ts';
import { addEncodedAggregates, addEncodedDay, addEncodedFigures, newShownAggregates } from './row-codec.ts';

/** Rows read at once: some milliseconds of work. */
const CHUNK_ROWS = 1_000;

/** One shown figure. */
interface Shown {
  whole: Aggregate;
  /** By part. Creating thousands of short typed arrays would take longer than using them saves. */
  sums: number[];
  counts: number[];
}

export class NodeHistory {
  readonly #period: HistoryPeriod;
  readonly #wholes = newShownAggregates();
  /** In the order of {@link SHOWN_PLACES}. */
  readonly #shown: readonly Shown[];

  constructor(period: HistoryPeriod) {
    this.#period = period;
    this.#shown = SHOWN_PLACES.map((place) => ({
      whole: this.#wholes[place] ?? new Aggregate(false),
      sums: new Array<number>(period.parts).fill(0),
      counts: new Array<number>(period.parts).fill(0),
    }));
  }

  /** Adds a stored row that begins at `at`, ms; a row whose middle is outside of the period counts nothing. */
  add(resolution: Resolution, at: number, figures: Uint8Array): void {
    if (resolution === '1d') {
      this.#addDay(at, figures);
      return;
    }
    const part = this.#partAt(resolution === 'raw' ? at : at + BUCKET_MS[resolution] / 2);
    if (part === undefined) return;
    // What the row adds to the whole belongs to this part.
    for (const shown of this.#shown) addToPart(shown, part, -shown.whole.count, -shown.whole.sum);
    if (resolution === 'raw') addEncodedFigures(this.#wholes, figures);
    else addEncodedAggregates(this.#wholes, figures);
    for (const shown of this.#shown) addToPart(shown, part, shown.whole.count, shown.whole.sum);
  }

  /** Over the whole period; null without readings. */
  statistics(name: ShownFigure): Statistics | null {
    const place = FIGURES.findIndex((figure) => figure.name === name);
    return this.#wholes[place]?.statistics(FIGURES[place]?.scale ?? 1) ?? null;
  }

  /** The mean of each part, oldest first; null without readings. Two decimals: a chart shows no more, and the JSON stays small. */
  series(name: ShownFigure): (number | null)[] {
    const place = FIGURES.findIndex((figure) => figure.name === name);
    const { scale = 1 } = FIGURES[place] ?? {};
    const { sums = [], counts = [] } = this.#shown[SHOWN_PLACES.indexOf(place)] ?? {};
    return sums.map((sum, part) => {
      const count = counts[part] ?? 0;
      return count === 0 ? null : Math.round((sum / count / scale) * 100) / 100;
    });
  }

  /** The middle of each hour of the day must be in the period. */
  #addDay(from: number, figures: Uint8Array): void {
    addEncodedDay(this.#wholes, figures, (hour, index, count, sum) => {
      const part = this.#partAt(from + (hour + 0.5) * HOUR_MS);
      const shown = this.#shown[index];
      if (part !== undefined && shown !== undefined) addToPart(shown, part, count, sum);
    });
  }

  #partAt(at: number): number | undefined {
    const { from, to, parts } = this.#period;
    if (at < from || at >= to) return undefined;
    return Math.min(parts - 1, Math.floor(((at - from) / (to - from)) * parts));
  }
}

function addToPart({ sums, counts }: Shown, part: number, count: number, sum: number): void {
  sums[part] = (sums[part] ?? 0) + sum;
  counts[part] = (counts[part] ?? 0) + count;
}

/** The histories of all nodes that have one, by id. Yields to the event loop in between. */
export async function readHistories(
  table: Pick<HistoryTable, 'nodeIds' | 'rows'> & { rollUp: Progress },
  period: HistoryPeriod,
): Promise<Map<string, NodeHistory>> {
  const ids = table.nodeIds();
  const histories = new Map<string, NodeHistory>();
  for (const { resolution, first, last } of layersOf(table.rollUp, period)) {
    let after = { bucket: first - 1, node: Number.MAX_SAFE_INTEGER, at: Number.MAX_SAFE_INTEGER };
    for (;;) {
      const rows = table.rows(resolution, after, last, CHUNK_ROWS);
      for (const { node, at, figures } of rows) {
        const id = ids.get(node);
        if (id === undefined) continue;
        const history = histories.get(id) ?? new NodeHistory(period);
        histories.set(id, history);
        history.add(resolution, at, figures);
      }
      const end = rows.at(-1);
      if (end === undefined || rows.length < CHUNK_ROWS) break;
      after = end;
      await setImmediate();
    }
  }
  return histories;
}

/** The history of one node. */
export function readHistory(table: HistoryTable, nodeId: string, period: HistoryPeriod): NodeHistory {
  const history = new NodeHistory(period);
  for (const layer of layersOf(table.rollUp, period)) {
    for (const { at, figures } of table.rowsOfNode(nodeId, layer)) history.add(layer.resolution, at, figures);
  }
  return history;
}
