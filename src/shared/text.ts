/** Text from elsewhere: bytes that need not be UTF-8, what pasting adds, and what a terminal, log or spreadsheet would obey. */
import { isUtf8 } from 'node:buffer';

/** Longest message from another machine that is stored, logged or passed on, UTF-16 units. */
export const MAX_MESSAGE_LENGTH = 1024;
/** Deepest nesting of JSON from another machine that is passed on; writing or walking it recurses. */
const MAX_NESTING = 256;

/**
 * Control characters (C0, C1, DEL), format characters (direction marks, overrides and isolates, zero-width characters, the BOM,
 * tags), line and paragraph separators, and lone surrogates.
 */
const UNSAFE = /[\p{Cc}\p{Cf}\p{Zl}\p{Zp}\p{Cs}]/gu;
const UNSAFE_IN_LINES = /(?![\t\r\n])[\p{Cc}\p{Cf}\p{Zl}\p{Zp}\p{Cs}]/gu;
/** Without JSON's own white space, and without what JSON.stringify has already escaped. */
const UNSAFE_IN_JSON = /[\u007f\u0080-\u009f\p{Cf}\p{Zl}\p{Zp}]/gu;

/** Replaces each unsafe character with U+FFFD. */
export function stripControl(text: string): string {
  return text.replace(UNSAFE, '\ufffd');
}

/** {@link stripControl} for multi-line text: keeps line breaks and tabs. */
export function stripControlInLines(text: string): string {
  return text.replace(UNSAFE_IN_LINES, '\ufffd');
}

/** One harmless line of at most `maxLength` UTF-16 units, cut with `…`. */
export function harmlessLine(text: string, maxLength = MAX_MESSAGE_LENGTH): string {
  // Cut first: the text may be long, and replacing never lengthens it.
  return stripControl(
    cutText(text, maxLength)
      .trim()
      .replace(/\s*\n\s*/g, ' '),
  );
}

/** At most `maxLength` UTF-16 units, cut with `…` and never inside a character. */
export function cutText(text: string, maxLength: number): string {
  return text.length <= maxLength ? text : `${text.slice(0, maxLength - 1).toWellFormed()}…`;
}

/** JSON with unsafe characters escaped as `\uXXXX`: the same value to a parser, and harmless on a terminal. */
export function harmlessJson(value: unknown, indent?: number): string {
  return escapeJson(JSON.stringify(value, null, indent));
}

/** {@link harmlessJson} for text that is already JSON. */
export function escapeJson(json: string): string {
  return json.replace(UNSAFE_IN_JSON, (character) => {
    const units = Array.from({ length: character.length }, (_, index) => character.charCodeAt(index));
    return units.map((unit) => `\\u${unit.toString(16).padStart(4, '0')}`).join('');
  });
}

/** Whether parsed JSON is nested too deeply to be written again. */
export function isTooDeep(value: unknown, levels = MAX_NESTING): boolean {
  if (typeof value !== 'object' || value === null) return false;
  return levels === 0 || Object.values(value).some((each) => isTooDeep(each, levels - 1));
}

/** What decoding puts in place of bytes that are not UTF-8; text without it was decoded exactly. */
export const REPLACEMENT = '\ufffd';
const BACKSLASH = 0x5c;

/** The first byte that is not UTF-8, as `\xe9 at byte 4`. */
export function describeBadByte(bytes: Uint8Array): string | undefined {
  if (isUtf8(bytes)) return undefined;
  for (const { at, text } of pieces(bytes)) if (text === undefined) return `${escaped(bytes[at])} at byte ${at + 1}`;
  return undefined;
}

/** UTF-8 unchanged, every other byte as `\xe9`. Injective: a backslash that looks like such an escape is escaped itself. */
export function escapeBytes(bytes: Uint8Array): string {
  if (isUtf8(bytes) && !bytes.includes(BACKSLASH)) return decode(bytes);
  let result = '';
  for (const { at, text } of pieces(bytes)) {
    const looksEscaped = text === '\\' && /^x[0-9a-f]{2}$/.test(decode(bytes.subarray(at + 1, at + 4)));
    result += text === undefined || looksEscaped ? escaped(bytes[at]) : text;
  }
  return result;
}

/** One character each; `text` is undefined for a byte that belongs to none. */
function* pieces(bytes: Uint8Array): Generator<{ at: number; text: string | undefined }> {
  for (let at = 0; at < bytes.length; ) {
    const lead = bytes[at] ?? 0;
    const length = lead < 0x80 ? 1 : lead < 0xe0 ? 2 : lead < 0xf0 ? 3 : 4;
    const character = bytes.subarray(at, at + length);
    const isValid = isUtf8(character);
    yield { at, text: isValid ? decode(character) : undefined };
    at += isValid ? length : 1;
  }
}

function decode(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('utf8');
}

function escaped(byte = 0): string {
  return `\\x${byte.toString(16).padStart(2, '0')}`;
}

/** White space, zero-width marks and quotes that get copied along with a text. */
const SURROUNDINGS = /^[\p{Z}\p{C}"'`‘’‚‛“”„‟‹›«»]+|[\p{Z}\p{C}"'`‘’‚‛“”„‟‹›«»]+$/gu;

/** Unicode names of characters that look like something else, or like nothing. */
const NAMES = new Map(
  `9 TAB|a LINE FEED|d CARRIAGE RETURN|20 SPACE|a0 NO-BREAK SPACE|ad SOFT HYPHEN|ab LEFT-POINTING DOUBLE ANGLE QUOTATION MARK
|bb RIGHT-POINTING DOUBLE ANGLE QUOTATION MARK|2002 EN SPACE|2003 EM SPACE|2007 FIGURE SPACE|2009 THIN SPACE|200a HAIR SPACE|200b ZERO WIDTH SPACE
|200c ZERO WIDTH NON-JOINER|200d ZERO WIDTH JOINER|200e LEFT-TO-RIGHT MARK|200f RIGHT-TO-LEFT MARK|2010 HYPHEN
|2011 NON-BREAKING HYPHEN|2012 FIGURE DASH|2013 EN DASH|2014 EM DASH|2015 HORIZONTAL BAR|2018 LEFT SINGLE QUOTATION MARK
|2019 RIGHT SINGLE QUOTATION MARK|201a SINGLE LOW-9 QUOTATION MARK|201c LEFT DOUBLE QUOTATION MARK|201d RIGHT DOUBLE QUOTATION MARK
|201e DOUBLE LOW-9 QUOTATION MARK|2026 HORIZONTAL ELLIPSIS|2028 LINE SEPARATOR|2029 PARAGRAPH SEPARATOR|202a LEFT-TO-RIGHT EMBEDDING
|202b RIGHT-TO-LEFT EMBEDDING|202c POP DIRECTIONAL FORMATTING|202d LEFT-TO-RIGHT OVERRIDE|202e RIGHT-TO-LEFT OVERRIDE|202f NARROW NO-BREAK SPACE
|2060 WORD JOINER|2212 MINUS SIGN|3000 IDEOGRAPHIC SPACE|fe58 SMALL EM DASH|fe63 SMALL HYPHEN-MINUS|feff ZERO WIDTH NO-BREAK SPACE
|ff0d FULLWIDTH HYPHEN-MINUS|ff1a FULLWIDTH COLON`
    .split(/\s*\|/)
    .map((line): [number, string] => [Number.parseInt(line, 16), line.slice(line.indexOf(' ') + 1)]),
);

/** Strips {@link SURROUNDINGS}; for text in which they cannot mean anything. */
export function trimPasted(text: string): string {
  return text.replace(SURROUNDINGS, '');
}

/** The first character that `allowed` does not match, visibly: `U+2013 EN DASH at position 5`. */
export function describeForeign(text: string, allowed: RegExp): string | undefined {
  const characters = [...text];
  const index = characters.findIndex((character) => !allowed.test(character));
  return index < 0 ? undefined : `${describeCharacter(characters[index] ?? '')} at position ${index + 1}`;
}

/** `"u"`, `"ä" (U+00E4)`, `U+2013 EN DASH`; an invisible character is only named. */
export function describeCharacter(character: string): string {
  const point = character.codePointAt(0) ?? 0;
  const name = NAMES.get(point);
  const code = `U+${point.toString(16).toUpperCase().padStart(4, '0')}`;
  if (name !== undefined) return `${code} ${name}`;
  if (/[\p{Z}\p{C}\p{M}]/u.test(character)) return code;
  return point < 0x7f ? JSON.stringify(character) : `"${character}" (${code})`;
}

/** A word as a POSIX shell reads it: in single quotes if necessary. */
export function shellQuote(text: string): string {
  return /^[A-Za-z0-9_@%+:,./-]+$/.test(text) ? text : `'${text.replaceAll("'", "'\\''")}'`;
}

/** Most edits between the typed and the suggested word. */
const MAX_DISTANCE = 2;

/** "Did you mean": the known word nearest to a mistyped one. Of several, the first, but preferably one of the same length: letters are swapped more often than omitted. */
export function closest(typed: string, known: Iterable<string>): string | undefined {
  let best: string | undefined;
  let bestDistance = Math.min(MAX_DISTANCE, Math.max(1, Math.floor(typed.length / 2))) + 1;
  for (const word of known) {
    const distance = editDistance(typed, word);
    const isLikelier = distance === bestDistance && best !== undefined && best.length !== typed.length;
    if (distance < bestDistance || (isLikelier && word.length === typed.length))
      [best, bestDistance] = [word, distance];
  }
  return best;
}

/** Restricted Damerau-Levenshtein: a swap of neighbours is one edit. */
function editDistance(a: string, b: string): number {
  let beforeLast: number[] = [];
  let last = Array.from({ length: b.length + 1 }, (_, index) => index);
  for (let i = 1; i <= a.length; i += 1) {
    const row = [i];
    for (let j = 1; j <= b.length; j += 1) {
      const cost = a[i - 1] === b[j - 1] ? 0 : 1;
      let distance = Math.min((last[j] ?? 0) + 1, (row[j - 1] ?? 0) + 1, (last[j - 1] ?? 0) + cost);
      if (i > 1 && j > 1 && a[i - 1] === b[j - 2] && a[i - 2] === b[j - 1]) {
        distance = Math.min(distance, (beforeLast[j - 2] ?? 0) + 1);
      }
      row.push(distance);
    }
    beforeLast = last;
    last = row;
  }
  return last[b.length] ?? 0;
}
