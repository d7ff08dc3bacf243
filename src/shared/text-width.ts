/** Text in the columns of a terminal: how many it takes, and how to make it take fewer. */
import { eastAsianWidth } from 'get-east-asian-width';

const ASCII = /^[ -~]*$/;
const ZERO_WIDTH = /^[\p{Mn}\p{Me}\p{Cf}]$/u;

/** Columns of a text without control characters. string-width also knows joined emoji, but takes 15 ms to load. */
export function textWidth(text: string): number {
  if (ASCII.test(text)) return text.length;
  let width = 0;
  for (const character of text) {
    if (!ZERO_WIDTH.test(character)) width += eastAsianWidth(character.codePointAt(0) ?? 0);
  }
  return width;
}

/** At most `columns` wide; a shortened text ends in `mark`. */
export function cutToWidth(text: string, columns: number, mark = ''): string {
  if (textWidth(text) <= columns) return text;
  const room = columns - textWidth(mark);
  if (room < 0) return cutToWidth(text, columns);
  let cut = '';
  let width = 0;
  for (const character of text) {
    width += textWidth(character);
    if (width > room) break;
    cut += character;
  }
  return cut + mark;
}

/** Exactly `columns` wide. */
export function fitText(text: string, columns: number, mark: string, align: 'left' | 'right' = 'left'): string {
  const cut = cutToWidth(text, columns, mark);
  const fill = ' '.repeat(Math.max(0, columns - textWidth(cut)));
  return align === 'right' ? fill + cut : cut + fill;
}
