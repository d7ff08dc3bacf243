/**
 * How rows are stored: one short BLOB per heartbeat, and one per node and bucket once they are rolled up. All numbers are varints.
 *
 * A heartbeat is the set of its figures (one bit each) and the value of each; a bucket is such a set and the {@link Aggregate} of each.
 * docs/adr/0019. A day starts with the minimum of each shown figure; then, for each hour, twice the set of its shown figures, plus 1 if
 * they have equal counts; that count, or one for each; and sum − count × minimum of each; finally the whole day, like a bucket. docs/adr/0025.
 */
import { Aggregate } from './aggregate.ts';
import { FIGURES, type Figures, SHOWN_PLACES } from './figures.ts';
import { HOURS_PER_DAY } from './resolutions.ts';
import { VarintReader, VarintWriter } from './varints.ts';

/** One aggregate per figure, in the order of {@link FIGURES}; figures without one, and those past the end, are skipped. */
export type Aggregates = readonly (Aggregate | undefined)[];

/** Receives the readings of one shown figure (by its index in SHOWN_PLACES) in one hour. */
type AddHour = (hour: number, index: number, count: number, sum: number) => void;

export function newAggregates(): Aggregates {
  return FIGURES.map(({ hasSketch }) => new Aggregate(hasSketch));
}

/** Without those of figures that are not shown. */
export function newShownAggregates(): Aggregates {
  const places = FIGURES.slice(0, Math.max(...SHOWN_PLACES) + 1);
  return places.map(({ hasSketch, isShown }) => (isShown ? new Aggregate(hasSketch) : undefined));
}

export function hasReadings(aggregate: Aggregate | undefined): aggregate is Aggregate {
  return aggregate !== undefined && aggregate.count > 0;
}

export function encodeFigures(figures: Figures): Buffer {
  const writer = new VarintWriter();
  const known = FIGURES.map(({ name, scale }) => {
    const value = figures[name];
    return value !== null && Number.isFinite(value) ? value * scale : undefined;
  });
  writer.unsigned(setOf(known, (value) => value !== undefined));
  for (const value of known) if (value !== undefined) writer.signed(value);
  return writer.finish();
}

/** Adds one heartbeat. */
export function addEncodedFigures(aggregates: Aggregates, bytes: Uint8Array): void {
  const reader = new VarintReader(bytes);
  const set = reader.unsigned();
  // Loops without closures here and below: a report on many nodes reads some 200,000 rows.
  for (let place = 0; place < aggregates.length; place += 1) {
    if (!isInSet(set, place)) continue;
    const value = reader.signed();
    aggregates[place]?.add(value);
  }
}

export function encodeAggregates(aggregates: Aggregates, writer = new VarintWriter()): Buffer {
  writer.unsigned(setOf(aggregates, hasReadings));
  for (const aggregate of aggregates) if (hasReadings(aggregate)) aggregate.writeTo(writer);
  return writer.finish();
}

/** Adds what {@link encodeAggregates} wrote. */
export function addEncodedAggregates(aggregates: Aggregates, bytes: Uint8Array): void {
  addAggregates(aggregates, new VarintReader(bytes));
}

/** @param hours One encoded hour or none for each hour of the day. @returns undefined for a day without readings. */
export function encodeDay(hours: readonly (Uint8Array | undefined)[]): Buffer | undefined {
  const whole = newShownAggregates();
  const parts = hours.map((bytes) => {
    const part = newShownAggregates();
    if (bytes === undefined) return part;
    addEncodedAggregates(part, bytes);
    addEncodedAggregates(whole, bytes);
    return part;
  });
  if (!whole.some(hasReadings)) return undefined;
  const writer = new VarintWriter();
  const least = SHOWN_PLACES.map((place) => (hasReadings(whole[place]) ? whole[place].min : 0));
  for (const min of least) writer.signed(min);
  for (let hour = 0; hour < HOURS_PER_DAY; hour += 1) writeHour(writer, parts[hour] ?? [], least);
  return encodeAggregates(whole, writer);
}

/** Adds what {@link encodeDay} wrote: the day to `aggregates`, each figure of each hour through `addHour`. */
export function addEncodedDay(aggregates: Aggregates, bytes: Uint8Array, addHour: AddHour): void {
  const reader = new VarintReader(bytes);
  const least = SHOWN_PLACES.map(() => reader.signed());
  for (let hour = 0; hour < HOURS_PER_DAY; hour += 1) readHour(reader, hour, least, addHour);
  addAggregates(aggregates, reader);
}

function addAggregates(aggregates: Aggregates, reader: VarintReader): void {
  const set = reader.unsigned();
  // Figures of a later version come last: they could not be skipped without knowing whether they have a sketch.
  for (let place = 0; place < aggregates.length; place += 1) {
    if (!isInSet(set, place)) continue;
    const aggregate = aggregates[place];
    if (aggregate === undefined) Aggregate.skip(reader, FIGURES[place]?.hasSketch ?? false);
    else aggregate.addFrom(reader);
  }
}

function writeHour(writer: VarintWriter, part: Aggregates, least: readonly number[]): void {
  const shown = SHOWN_PLACES.map((place) => part[place]);
  const present = shown.filter(hasReadings);
  const isEven = present.every(({ count }) => count === present[0]?.count);
  writer.unsigned(setOf(shown, hasReadings) * 2 + Number(isEven));
  if (isEven && present[0] !== undefined) writer.unsigned(present[0].count);
  shown.forEach((aggregate, index) => {
    if (!hasReadings(aggregate)) return;
    if (!isEven) writer.unsigned(aggregate.count);
    writer.unsigned(aggregate.sum - aggregate.count * (least[index] ?? 0));
  });
}

function readHour(reader: VarintReader, hour: number, least: readonly number[], addHour: AddHour): void {
  const head = reader.unsigned();
  const isEven = head % 2 === 1;
  const set = head >>> 1;
  if (set === 0) return;
  let count = isEven ? reader.unsigned() : 0;
  for (let index = 0; index < least.length; index += 1) {
    if (!isInSet(set, index)) continue;
    if (!isEven) count = reader.unsigned();
    addHour(hour, index, count, reader.unsigned() + count * (least[index] ?? 0));
  }
}

/** Sets have fewer than 31 members, so 32 bits hold them. */
function isInSet(set: number, place: number): boolean {
  return (set & (1 << place)) !== 0;
}

function setOf<T>(members: readonly T[], isIn: (member: T) => boolean): number {
  return members.reduce((set, member, place) => (isIn(member) ? set | (1 << place) : set), 0);
}
