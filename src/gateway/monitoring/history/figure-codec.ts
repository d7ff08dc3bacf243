/**
 * How figures lie in the database: one short BLOB a heartbeat, and one a node and bucket once they are rolled up.
 *
 * A heartbeat is the set of its figures (a bit each) and then the value of each. A bucket is such a set and then, for each
 * figure, count, least, most minus least, sum minus count × least, and, if they differ and a sketch is kept, the bins that
 * are not empty as distances and counts. All are varints. docs/adr/0019.
 */
import { Aggregate, SKETCH_BINS } from './aggregate.ts';
import { FIGURES, type Figures } from './figures.ts';
import { VarintReader, VarintWriter } from './varints.ts';

/** One aggregate for each of {@link FIGURES}. */
export type Aggregates = readonly Aggregate[];

/** Aggregates of some figures, each at its figure's place; the others, and those past the end, are passed over. */
export type SomeAggregates = readonly (Aggregate | undefined)[];

export function newAggregates(): Aggregates {
  return FIGURES.map(({ hasSketch }) => new Aggregate(hasSketch));
}

export function encodeFigures(figures: Figures): Buffer {
  const writer = new VarintWriter();
  writer.unsigned(setOf(({ name }) => isKnown(figures[name])));
  for (const { name, scale } of FIGURES) {
    const value = figures[name];
    if (isKnown(value)) writer.signed(value * scale);
  }
  return writer.finish();
}

/** Adds one heartbeat's figures. */
export function addEncodedFigures(aggregates: SomeAggregates, bytes: Uint8Array): void {
  const reader = new VarintReader(bytes);
  const set = reader.unsigned();
  // Loops without closures here and below: a report on many nodes reads some 200,000 rows.
  for (let index = 0; index < aggregates.length; index += 1) {
    if (!isInSet(set, index)) continue;
    const value = reader.signed();
    aggregates[index]?.add(value);
  }
}

export function encodeAggregates(aggregates: SomeAggregates): Buffer {
  const writer = new VarintWriter();
  encodeAggregatesTo(writer, aggregates);
  return writer.finish();
}

/** {@link encodeAggregates} after what `writer` has. */
export function encodeAggregatesTo(writer: VarintWriter, aggregates: SomeAggregates): void {
  writer.unsigned(setOf((_, index) => (aggregates[index]?.count ?? 0) > 0));
  for (const aggregate of aggregates) {
    if (aggregate === undefined) continue;
    const { count, min, max, sum, bins } = aggregate;
    if (count === 0) continue;
    writer.unsigned(count);
    writer.signed(min);
    writer.unsigned(max - min);
    if (max === min) continue;
    writer.unsigned(sum - count * min);
    if (aggregate.hasSketch) writeBins(writer, bins);
  }
}

/** Adds what {@link encodeAggregates} wrote; merging is adding. */
export function addEncodedAggregates(aggregates: SomeAggregates, bytes: Uint8Array): void {
  addAggregates(aggregates, new VarintReader(bytes));
}

/** {@link addEncodedAggregates} from where `reader` is. */
export function addAggregates(aggregates: SomeAggregates, reader: VarintReader): void {
  const set = reader.unsigned();
  // A figure of a later version comes last: without knowing whether it has a sketch, it could not be read.
  for (let index = 0; index < aggregates.length; index += 1) {
    if (!isInSet(set, index)) continue;
    const aggregate = aggregates[index];
    if (aggregate === undefined) skipAggregate(reader, FIGURES[index]?.hasSketch ?? false);
    else addAggregate(aggregate, reader);
  }
}

function addAggregate(aggregate: Aggregate, reader: VarintReader): void {
  const count = reader.unsigned();
  const min = reader.signed();
  const spread = reader.unsigned();
  if (spread === 0) {
    aggregate.add(min, count);
    return;
  }
  const sum = reader.unsigned() + count * min;
  if (aggregate.hasSketch) readBins(reader, aggregate);
  aggregate.addSummary(count, min, min + spread, sum);
}

/** Passes over what {@link addAggregate} reads. */
function skipAggregate(reader: VarintReader, hasSketch: boolean): void {
  reader.skip(2);
  if (reader.unsigned() === 0) return;
  reader.skip(1);
  if (hasSketch) reader.skip(2 * binCount(reader));
}

function writeBins(writer: VarintWriter, bins: Uint32Array | undefined): void {
  const used: [bin: number, count: number][] = [];
  bins?.forEach((count, bin) => {
    if (count > 0) used.push([bin, count]);
  });
  writer.unsigned(used.length);
  let before = 0;
  for (const [bin, count] of used) {
    writer.unsigned(bin - before);
    writer.unsigned(count);
    before = bin;
  }
}

function readBins(reader: VarintReader, aggregate: Aggregate): void {
  const left = binCount(reader);
  if (left === 0) return;
  const bins = aggregate.openBins();
  let bin = 0;
  for (let done = 0; done < left; done += 1) {
    bin = Math.min(bin + reader.unsigned(), SKETCH_BINS - 1);
    bins[bin] = (bins[bin] ?? 0) + reader.unsigned();
  }
}

function binCount(reader: VarintReader): number {
  return Math.min(reader.unsigned(), SKETCH_BINS);
}

/** Sets have less than 31 figures, so 32 bits hold them. */
function isInSet(set: number, index: number): boolean {
  return (set & (1 << index)) !== 0;
}

function isKnown(value: number | null): value is number {
  return value !== null && Number.isFinite(value);
}

function setOf(isIn: (figure: (typeof FIGURES)[number], index: number) => boolean): number {
  return FIGURES.reduce((set, figure, index) => (isIn(figure, index) ? set + 2 ** index : set), 0);
}
