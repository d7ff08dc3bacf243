/**
 * ClusterShell node sets: one text such as `web-[1-20],db-1` for many node names, and many names folded back into one.
 * Syntax as in nodeset(1) of ClusterShell: `[1-3,7]`, padding `[01-10]`, steps `[1-9/2]`, several brackets `r[1-2]n[1-4]`.
 */
import { FleetError } from '../shared/errors.ts';
import { describeCharacter } from '../shared/text.ts';

/** Most names that one node set may expand to. */
export const MAX_NODE_SET_SIZE = 100_000;
/** Longest name without its indices, characters. Keeps a hostile set from expanding to gigabytes. */
const MAX_NAME_LENGTH = 255;
/** Longest index: every number of so many digits is exact in a double. */
const MAX_INDEX_DIGITS = 15;

const NAME_TEXT = /[A-Za-z0-9._-]+/y;
const NAME_TEXT_OR_WILDCARD = /[A-Za-z0-9._*?-]+/y;

/** A part of a larger text between two operators. */
export interface Term {
  /** The operator before it; empty for the first. */
  operator: string;
  text: string;
  /** Where `text` starts in the source, from 0. */
  position: number;
}

interface ExpandOptions {
  /** Most names that may come out. */
  limit: number;
  /** Let `*` and `?` through, for a caller that matches them later. */
  wildcards?: boolean;
}

/**
 * Cuts `source` at each of the one-character `operators` outside brackets; blanks around a term are dropped.
 * @throws FleetError `bad_selector` on an empty term or unbalanced brackets.
 */
export function splitTerms(source: string, operators: string): Term[] {
  const terms: Term[] = [];
  let operator = '';
  let start = 0;
  let bracket = -1;
  for (let index = 0; index <= source.length; index += 1) {
    const character = source[index];
    if (character === '[') {
      if (bracket >= 0) throw badSelector(source, index, 'a bracket inside a bracket');
      bracket = index;
    } else if (character === ']') {
      if (bracket < 0) throw badSelector(source, index, '"]" without "["');
      bracket = -1;
    } else if (character === undefined || (bracket < 0 && operators.includes(character))) {
      if (bracket >= 0) throw badSelector(source, bracket, '"[" is never closed');
      const untrimmed = source.slice(start, index);
      const text = untrimmed.trim();
      const position = start + (untrimmed.length - untrimmed.trimStart().length);
      if (text === '') throw badSelector(source, position, 'a name is missing');
      terms.push({ operator, text, position });
      operator = character ?? '';
      start = index + 1;
    }
  }
  return terms;
}

/** The names of one term of `source`: the cartesian product of its brackets. @throws FleetError `bad_selector`. */
export function expandTerm(source: string, term: Term, options: ExpandOptions): string[] {
  const allowed = options.wildcards ? NAME_TEXT_OR_WILDCARD : NAME_TEXT;
  let names = [''];
  let textLength = 0;
  for (let index = 0; index < term.text.length; ) {
    const position = term.position + index;
    if (term.text[index] === '[') {
      const end = term.text.indexOf(']', index);
      const ranges = parseRanges(source, position + 1, term.text.slice(index + 1, end));
      const size = ranges.reduce((sum, range) => sum + rangeSize(range), 0);
      if (size * names.length > options.limit) throw tooMany(source, position);
      const indices = ranges.flatMap(expandRange);
      names = names.flatMap((name) => indices.map((number) => name + number));
      index = end + 1;
    } else {
      allowed.lastIndex = index;
      const text = allowed.exec(term.text)?.[0];
      if (text === undefined) throw foreignCharacter(source, position);
      textLength += text.length;
      if (textLength > MAX_NAME_LENGTH) {
        throw badSelector(source, position, `a name of more than ${MAX_NAME_LENGTH} characters`);
      }
      names = names.map((name) => name + text);
      index += text.length;
    }
  }
  if (names.length > options.limit) throw tooMany(source, term.position);
  return names;
}

interface Range {
  first: number;
  last: number;
  step: number;
  /** Digits to fill up with zeros; 0 for none. */
  width: number;
}

function parseRanges(source: string, position: number, text: string): Range[] {
  let at = position;
  return text.split(',').map((part) => {
    const start = at;
    at += part.length + 1;
    const [, first, last = first, step = '1'] = /^(\d+)(?:-(\d+)(?:\/(\d+))?)?$/.exec(part.trim()) ?? [];
    if (first === undefined || last === undefined) {
      throw badSelector(
        source,
        start,
        `${JSON.stringify(part)} is not a range`,
        'Write ranges like [1-20], [01-10] or [1-9/2].',
      );
    }
    if (Math.max(first.length, last.length, step.length) > MAX_INDEX_DIGITS) {
      throw badSelector(source, start, `a number of more than ${MAX_INDEX_DIGITS} digits`);
    }
    const width = first.startsWith('0') && first.length > 1 ? first.length : 0;
    if (last.startsWith('0') && last.length > 1 && last.length !== width) {
      throw badSelector(source, start, 'the two ends of a range are padded differently', 'Write [01-10] or [1-10].');
    }
    const range = { first: Number(first), last: Number(last), step: Number(step), width };
    if (range.step === 0) throw badSelector(source, start, 'a step of 0');
    if (range.first > range.last) {
      throw badSelector(source, start, 'a range that runs backwards', `Write [${last}-${first}].`);
    }
    return range;
  });
}

function rangeSize({ first, last, step }: Range): number {
  return Math.floor((last - first) / step) + 1;
}

function expandRange(range: Range): string[] {
  return Array.from({ length: rangeSize(range) }, (_, count) => pad(range.first + count * range.step, range.width));
}

function pad(number: number, width: number): string {
  return String(number).padStart(width, '0');
}

function foreignCharacter(source: string, index: number): FleetError {
  const character = String.fromCodePoint(source.codePointAt(index) ?? 0);
  return badSelector(
    source,
    index,
    `${describeCharacter(character)} cannot be in a name`,
    /\s/.test(character) ? 'Join names with commas: web-1,db-1.' : undefined,
  );
}

function tooMany(source: string, index: number): FleetError {
  return badSelector(source, index, 'too many names', 'Use a wildcard or a label: web-*, @role=web.');
}

/** A `bad_selector` that says where: `facts.position` counts characters from 1. */
export function badSelector(source: string, index: number, problem: string, hint?: string): FleetError {
  const shown = source.length > 80 ? `${source.slice(0, 80)}…` : source;
  return new FleetError('bad_selector', `${problem}, at character ${index + 1} of ${JSON.stringify(shown)}`, {
    hint,
    facts: { position: index + 1 },
  });
}

/** Numbers of a name that fold; a longer run of digits is taken as text. */
const INDEX = /(?<!\d)\d{1,15}(?!\d)/g;
const FOLDABLE_NAME = /^[A-Za-z0-9._-]+$/;

/** Names of one shape: for each number of the shape the indices that it takes, sorted; every combination is meant. */
type Box = string[][];

/**
 * Names folded into one text in natural order, such as `db-1,node-[1-3,7]`; as a selector it matches the same names.
 * Names with characters that a set cannot hold stand there as they are.
 */
export function foldNodeNames(names: Iterable<string>): string {
  const terms: { first: string; text: string }[] = [];
  const shapes = new Map<string, { texts: string[]; boxes: Box[] }>();
  for (const name of new Set(names)) {
    if (!FOLDABLE_NAME.test(name)) {
      terms.push({ first: name, text: name });
      continue;
    }
    const texts = name.split(INDEX);
    const key = texts.join('#');
    const shape = shapes.get(key) ?? { texts, boxes: [] };
    shape.boxes.push((name.match(INDEX) ?? []).map((index) => [index]));
    shapes.set(key, shape);
  }
  for (const { texts, boxes } of shapes.values()) {
    for (const box of foldBoxes(boxes, texts.length - 1)) {
      const first = texts.reduce((name, text, number) => name + (box[number - 1]?.[0] ?? '') + text);
      const text = texts.reduce((name, part, number) => name + foldIndices(box[number - 1] ?? []) + part);
      terms.push({ first, text });
    }
  }
  terms.sort((a, b) => compareNatural(a.first, b.first));
  return terms.map((term) => term.text).join(',');
}

/** Merges along one number after the other, the one that leaves the fewest terms first, the last number when in doubt. */
function foldBoxes(boxes: Box[], dimensions: number): Box[] {
  if (boxes.length < 2) return boxes;
  const order = Array.from({ length: dimensions }, (_, dimension) => ({
    dimension,
    left: new Set(boxes.map((box) => keyWithout(box, dimension))).size,
  })).sort((a, b) => a.left - b.left || b.dimension - a.dimension);
  return order.reduce((merged, { dimension }) => mergeAlong(merged, dimension), boxes);
}

/** Joins boxes that differ in one dimension only, which changes no name. */
function mergeAlong(boxes: Box[], dimension: number): Box[] {
  const merged = new Map<string, Box>();
  for (const box of boxes) {
    const key = keyWithout(box, dimension);
    const known = merged.get(key);
    if (known === undefined) {
      merged.set(
        key,
        box.map((indices) => [...indices]),
      );
    } else {
      known[dimension]?.push(...(box[dimension] ?? []));
    }
  }
  for (const box of merged.values()) box[dimension]?.sort(compareNatural);
  return [...merged.values()];
}

function keyWithout(box: Box, dimension: number): string {
  return box.map((indices, number) => (number === dimension ? '' : indices.join(','))).join('/');
}

/** `[1-3,7]` of sorted indices; a single one stands without brackets. */
function foldIndices(indices: string[]): string {
  if (indices.length < 2) return indices[0] ?? '';
  const left = new Set(indices);
  const ranges: string[] = [];
  for (const first of indices) {
    if (!left.delete(first)) continue;
    const width = first.startsWith('0') ? first.length : 0;
    let last = first;
    for (let next = pad(Number(first) + 1, width); left.delete(next); next = pad(Number(next) + 1, width)) last = next;
    ranges.push(first === last ? first : `${first}-${last}`);
  }
  return `[${ranges.join(',')}]`;
}

/** The order in which people expect names: `node-2` before `node-10`. No locale, so that every machine sorts alike. */
const ZERO = 48;
const NINE = 57;

/** Compares for `sort`: runs of digits by value, the rest by UTF-16 code unit. Zero only for equal texts. */
export function compareNatural(a: string, b: string): number {
  let atA = 0;
  let atB = 0;
  while (atA < a.length && atB < b.length) {
    const endA = endOfDigits(a, atA);
    const endB = endOfDigits(b, atB);
    if (endA > atA && endB > atB) {
      const difference = compareDigits(a, atA, endA, b, atB, endB);
      if (difference !== 0) return difference;
      atA = endA;
      atB = endB;
    } else {
      const difference = a.charCodeAt(atA) - b.charCodeAt(atB);
      if (difference !== 0) return difference;
      atA += 1;
      atB += 1;
    }
  }
  const rest = a.length - atA - (b.length - atB);
  if (rest !== 0) return rest;
  // Equal but for leading zeros.
  return a === b ? 0 : a < b ? -1 : 1;
}

function endOfDigits(text: string, start: number): number {
  let end = start;
  while (end < text.length && text.charCodeAt(end) >= ZERO && text.charCodeAt(end) <= NINE) end += 1;
  return end;
}

function compareDigits(a: string, startA: number, endA: number, b: string, startB: number, endB: number): number {
  let atA = startA;
  let atB = startB;
  while (atA < endA && a.charCodeAt(atA) === ZERO) atA += 1;
  while (atB < endB && b.charCodeAt(atB) === ZERO) atB += 1;
  const longer = endA - atA - (endB - atB);
  if (longer !== 0) return longer;
  for (; atA < endA; atA += 1, atB += 1) {
    const difference = a.charCodeAt(atA) - b.charCodeAt(atB);
    if (difference !== 0) return difference;
  }
  return 0;
}
