/**
 * How a day of one node lies in the database: of each of its hours how many readings each shown figure had and their sum,
 * for charts, and then the whole day as any other bucket does. So a report reads one row instead of 24. docs/adr/0025.
 *
 * First comes the least of each figure. Then each hour: twice the set of its figures, plus 1 if all have as many readings;
 * the count, or one for each; of each its sum minus count × least. All are varints.
 */
import { Aggregate } from './aggregate.ts';
import { addAggregates, encodeAggregatesTo, type SomeAggregates } from './figure-codec.ts';
import { FIGURES } from './figures.ts';
import { HOURS_PER_DAY } from './resolutions.ts';
import { byShownPlace, SHOWN_PLACES } from './shown-figures.ts';
import { VarintReader, VarintWriter } from './varints.ts';

/** Takes the readings of one figure in one hour: its index in SHOWN_FIGURES, how many there were, and their sum. */
export type AddHour = (hour: number, index: number, count: number, sum: number) => void;

/** New aggregates of what a day keeps. */
export function newShownAggregates(): (Aggregate | undefined)[] {
  return byShownPlace((place) => new Aggregate(FIGURES[place]?.hasSketch ?? false));
}

/** One encoded hour or none for each hour of the day. The day without any is undefined. */
export function encodeDay(hours: readonly (Uint8Array | undefined)[]): Buffer | undefined {
  const whole = newShownAggregates();
  const parts = hours.map((bytes) => {
    const part = newShownAggregates();
    if (bytes === undefined) return part;
    addAggregates(part, new VarintReader(bytes));
    addAggregates(whole, new VarintReader(bytes));
    return part;
  });
  if (whole.every((aggregate) => !hasReadings(aggregate))) return undefined;
  const writer = new VarintWriter();
  const least = SHOWN_PLACES.map((place) => (hasReadings(whole[place]) ? whole[place].min : 0));
  for (const min of least) writer.signed(min);
  for (let hour = 0; hour < HOURS_PER_DAY; hour += 1) writeHour(writer, parts[hour] ?? [], least);
  encodeAggregatesTo(writer, whole);
  return writer.finish();
}

/** Adds what {@link encodeDay} wrote: the day to `aggregates`, and each figure of each hour to `addHour`. */
export function addEncodedDay(aggregates: SomeAggregates, bytes: Uint8Array, addHour: AddHour): void {
  const reader = new VarintReader(bytes);
  const least = SHOWN_PLACES.map(() => reader.signed());
  for (let hour = 0; hour < HOURS_PER_DAY; hour += 1) readHour(reader, hour, least, addHour);
  addAggregates(aggregates, reader);
}

function writeHour(writer: VarintWriter, part: SomeAggregates, least: readonly number[]): void {
  const known = SHOWN_PLACES.map((place) => part[place]);
  const set = known.reduce((bits, aggregate, index) => (hasReadings(aggregate) ? bits | (1 << index) : bits), 0);
  const present = known.filter(hasReadings);
  const isEven = present.every(({ count }) => count === present[0]?.count);
  writer.unsigned(set * 2 + Number(isEven));
  if (isEven && present[0] !== undefined) writer.unsigned(present[0].count);
  known.forEach((aggregate, index) => {
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
    if ((set & (1 << index)) === 0) continue;
    if (!isEven) count = reader.unsigned();
    addHour(hour, index, count, reader.unsigned() + count * (least[index] ?? 0));
  }
}

function hasReadings(aggregate: Aggregate | undefined): aggregate is Aggregate {
  return aggregate !== undefined && aggregate.count > 0;
}
