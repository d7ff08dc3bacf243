/** Text laid out for a terminal of fixed width: how many columns a string takes, and how to make it take fewer. */

/** Two columns each: East Asian wide and fullwidth forms, and emoji (Unicode UAX 11, its large blocks). */
const WIDE =
  /[\u1100-\u115f\u2e80-\u303e\u3041-\ua4cf\uac00-\ud7a3\uf900-\ufaff\ufe30-\ufe6f\uff00-\uff60\uffe0-\uffe6\u{1f300}-\u{1faff}\u{20000}-\u{3fffd}]/u;
/** No column: combining marks and format characters. */
const ZERO = /[\p{Mn}\p{Me}\p{Cf}]/u;

/** What most text is made of: a column each. */
const PLAIN = /^[ -~]*$/;

/** Columns that a terminal gives to `text`, which must hold no control characters. */
export function columnsOf(text: string): number {
  if (PLAIN.test(text)) return text.length;
  let columns = 0;
  for (const character of text) columns += columnsOfCharacter(character);
  return columns;
}

/** `text` in exactly `width` columns: padded on the right (or on the left), or cut and ended by `…`. */
export function fit(text: string, width: number, align: 'left' | 'right' = 'left'): string {
  const cut = columnsOf(text) <= width ? text : `${cutTo(text, width - 1)}…`;
  const padding = ' '.repeat(width - columnsOf(cut));
  return align === 'left' ? cut + padding : padding + cut;
}

/** Put before the first line, and before those that follow. */
export interface LinePrefixes {
  first: string;
  rest: string;
}

/** `text` in lines of at most `width` columns, broken at blanks; a word that is too long for a line is broken in the middle. */
export function wrap(text: string, width: number, prefixes: LinePrefixes = { first: '', rest: '' }): string[] {
  const lines: string[] = [];
  let line = prefixes.first;
  let isBlank = true;
  for (const word of text.split(/ +/)) {
    if (!isBlank && columnsOf(line) + 1 + columnsOf(word) > width) {
      lines.push(line);
      line = prefixes.rest;
      isBlank = true;
    }
    if (!isBlank) line += ' ';
    let rest = word;
    while (columnsOf(line) + columnsOf(rest) > width) {
      // At least one character, or a width that is narrower than it would never end.
      const part = cutTo(rest, width - columnsOf(line)) || String.fromCodePoint(rest.codePointAt(0) ?? 0);
      lines.push(line + part);
      rest = rest.slice(part.length);
      line = prefixes.rest;
    }
    line += rest;
    isBlank = false;
  }
  lines.push(line);
  return lines;
}

function columnsOfCharacter(character: string): number {
  if (ZERO.test(character)) return 0;
  return WIDE.test(character) ? 2 : 1;
}

function cutTo(text: string, width: number): string {
  let cut = '';
  let columns = 0;
  for (const character of text) {
    columns += columnsOfCharacter(character);
    if (columns > width) break;
    cut += character;
  }
  return cut;
}
