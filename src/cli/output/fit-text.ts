/** Text in a given number of terminal columns: cut or filled, whatever its letters are. */
import { textWidth } from './text-width.ts';

/** At most `columns` wide; what is cut ends in `mark`. */
export function cutText(text: string, columns: number, mark: string): string {
  if (textWidth(text) <= columns) return text;
  const room = columns - textWidth(mark);
  if (room < 0) return cutText(text, columns, '');
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
  const cut = cutText(text, columns, mark);
  const fill = ' '.repeat(Math.max(0, columns - textWidth(cut)));
  return align === 'right' ? fill + cut : cut + fill;
}
