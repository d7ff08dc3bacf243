/** Schemas of values from another machine, each with a limit: what has none can fill a memory, a disk or a screen. */
import { z } from 'zod';
import { harmlessLine, stripControl } from '../shared/text.ts';

/** Longest sentence that is read at all, UTF-16 units; what is longer than it may be is cut, not refused. */
const MAX_SENTENCE_LENGTH = 256 * 1024;
/** Longest duration, ms: a hundred years. */
const MAX_DURATION_MS = 100 * 365 * 86_400_000;
/** Latest time that a Date can hold, ms (ECMA-262, 21.4.1.1). */
const MAX_TIME_MS = 8.64e15;

/** A name or word of at most `max` UTF-16 units, without control characters. */
export function word(max: number) {
  return z.string().max(max).transform(stripControl);
}

/** A message for people, cut to `max` UTF-16 units and made one harmless line. */
export function sentence(max?: number) {
  return z
    .string()
    .max(MAX_SENTENCE_LENGTH)
    .transform((text) => harmlessLine(text, max));
}

/** A record of at most `maxKeys` entries; the parameter is for the test that looks for records without a limit. */
export function boundedRecord<K extends z.ZodType<string>, V extends z.ZodType>(key: K, value: V, maxKeys: number) {
  const isSmall = (record: object): boolean => Object.keys(record).length <= maxKeys;
  return z.record(key, value).refine(isSmall, { error: `more than ${maxKeys} entries`, params: { maxKeys } });
}

/** For `z.preprocess`: accepts the field `name` under the name that earlier versions use. */
export function renamed(former: string, name: string) {
  return (value: unknown): unknown =>
    typeof value === 'object' && value !== null && former in value && !(name in value)
      ? { ...value, [name]: (value as Record<string, unknown>)[former] }
      : value;
}

/** A point in time, ms since the epoch. */
export const timeMs = z.number().min(0).max(MAX_TIME_MS);
/** A duration that may be a fraction, ms. */
export const milliseconds = z.number().min(0).max(MAX_DURATION_MS);
/** A requested duration, ms. */
export const positiveMs = z.number().int().positive().max(MAX_DURATION_MS);
/** Bytes, or something else that is counted. */
export const count = z.number().int().nonnegative();
/** A figure that is not negative: bytes, a rate, a load. */
export const amount = z.number().min(0).max(Number.MAX_SAFE_INTEGER);

/** Most nodes, keys, alerts or rows of one answer: more than one gateway has. */
export const MAX_NODES = 100_000;
/** Longest name and longest text of an answer to a person, UTF-16 units. */
const MAX_SHOWN_LENGTH = 1024;
const MAX_TEXT_LENGTH = 64 * 1024;
/** Most words of a list that belongs to one thing. */
export const MAX_WORDS = 10_000;
/** A name, an id or a time in an answer to a person: printed as it is. */
export const shown = word(MAX_SHOWN_LENGTH);
export const shownList = z.array(shown).max(MAX_WORDS);
/** A text in an answer to a person: `--json` has it as it was said, everything else cleans what it prints. */
export const text = z.string().max(MAX_TEXT_LENGTH);
export const textList = z.array(text).max(MAX_WORDS);
/** Any figure of an answer, also a negative one. */
export const figure = z.number().min(-Number.MAX_SAFE_INTEGER).max(Number.MAX_SAFE_INTEGER);
