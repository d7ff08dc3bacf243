/** What comes from another machine, made harmless: cut, and without what a terminal, a log or a spreadsheet would obey. */

/** Longest message of another machine that is stored, logged or passed on, UTF-16 units. */
export const MAX_MESSAGE_LENGTH = 1024;

/**
 * Control characters (C0, C1, DEL), format characters (direction marks, overrides and isolates, zero-width characters, the BOM,
 * tags), separators of lines and paragraphs, and halves of surrogate pairs.
 */
const UNSAFE = /[\p{Cc}\p{Cf}\p{Zl}\p{Zp}\p{Cs}]/gu;
const UNSAFE_IN_LINES = /(?![\t\r\n])[\p{Cc}\p{Cf}\p{Zl}\p{Zp}\p{Cs}]/gu;
/** The same but for what JSON uses as white space between its tokens, and what JSON.stringify has escaped already. */
const UNSAFE_IN_JSON = /[\u007f\u0080-\u009f\p{Cf}\p{Zl}\p{Zp}]/gu;

/** Replaces each such character by U+FFFD. */
export function stripControl(text: string): string {
  return text.replace(UNSAFE, '\ufffd');
}

/** The same for text of several lines: line breaks and tabs stay. */
export function stripControlInLines(text: string): string {
  return text.replace(UNSAFE_IN_LINES, '\ufffd');
}

/** One harmless line of at most `maxLength` UTF-16 units; `…` stands for what was cut off. */
export function harmlessLine(text: string, maxLength = MAX_MESSAGE_LENGTH): string {
  // Cut first: the text may be long, and replacing never makes it longer.
  return stripControl(
    cutText(text, maxLength)
      .trim()
      .replace(/\s*\n\s*/g, ' '),
  );
}

/** At most `maxLength` UTF-16 units, never half a character; `…` stands for what was cut off. */
export function cutText(text: string, maxLength: number): string {
  return text.length <= maxLength ? text : `${text.slice(0, maxLength - 1).toWellFormed()}…`;
}

/** JSON whose strings have such characters as `\uXXXX`: the same value to a parser, and harmless on a terminal. */
export function harmlessJson(value: unknown, indent?: number): string {
  return escapeJson(JSON.stringify(value, null, indent));
}

/** {@link harmlessJson} for what is JSON text already. */
export function escapeJson(json: string): string {
  return json.replace(UNSAFE_IN_JSON, escapeCharacter);
}

function escapeCharacter(character: string): string {
  const units = Array.from({ length: character.length }, (_, index) => character.charCodeAt(index));
  return units.map((unit) => `\\u${unit.toString(16).padStart(4, '0')}`).join('');
}

/** Deepest nesting of JSON from another machine that is passed on: what writes or walks it recurses, and any stack has an end. */
const MAX_NESTING = 256;

/** Whether parsed JSON is nested too deeply to be written again. */
export function isTooDeep(value: unknown, levels = MAX_NESTING): boolean {
  if (typeof value !== 'object' || value === null) return false;
  return levels === 0 || Object.values(value).some((each) => isTooDeep(each, levels - 1));
}
