/** Tables for people: aligned columns with a header, as kubectl prints them; on a terminal no wider than that. */
import { stripControl } from '../../shared/strip-control.ts';

const GAP = '  ';
const CUT_MARK = '…';
/** Columns of text are shortened to that, the widest first; then the last columns go. */
const MIN_TEXT_WIDTH = 10;

export interface TableColumn {
  header: string;
  /** Numbers read better at the right. */
  align?: 'left' | 'right';
}

/** A text, which may come from another machine, and what colours it. */
export type TableCell = string | { text: string; paint: (text: string) => string };

export interface TableOptions {
  paintHeader?: (text: string) => string;
  /** Of the terminal, in columns; undefined for as wide as it needs. */
  width?: number | undefined;
}

/** How a table looks on a port: a bold header, and cut to the width of a terminal. */
export function tableOptions(out: {
  style: { bold(text: string): string };
  size(): { columns: number } | undefined;
}): TableOptions {
  return { paintHeader: out.style.bold, width: out.size()?.columns };
}

/** One line for the header and one a row, each with its newline and without trailing blanks. An empty cell reads `-`. */
export function formatTable(
  columns: readonly TableColumn[],
  rows: readonly (readonly TableCell[])[],
  options: TableOptions = {},
): string {
  const paintHeader = options.paintHeader ?? ((text) => text);
  const header = columns.map((column) => ({ text: stripControl(column.header), paint: paintHeader }));
  const lines = [header, ...rows.map((row) => columns.map((_, index) => toCell(row[index] ?? '')))];
  const needed = columns.map((_, index) => Math.max(...lines.map((cells) => textWidth(cells[index]?.text ?? ''))));
  const width = options.width ?? Number.POSITIVE_INFINITY;
  const widths = fitWidths(needed, columns, width);
  return lines.map((cells) => `${formatLine(cells, columns, widths, width)}\n`).join('');
}

interface PaintedCell {
  text: string;
  paint: (text: string) => string;
}

function toCell(cell: TableCell): PaintedCell {
  const { text, paint } = typeof cell === 'string' ? { text: cell, paint: (same: string) => same } : cell;
  return { text: stripControl(text).trim() || '-', paint };
}

/** Widths that fit into `width` together, if that can be without making a column of text too narrow. */
function fitWidths(needed: readonly number[], columns: readonly TableColumn[], width: number): number[] {
  const widths = [...needed];
  const total = (): number => widths.reduce((sum, each) => sum + each, GAP.length * (widths.length - 1));
  while (total() > width) {
    const texts = widths.map((each, index) => (columns[index]?.align === 'right' ? 0 : each));
    const widest = Math.max(...texts);
    if (widest <= MIN_TEXT_WIDTH) break;
    // Of several, the last: names and ids come first.
    widths[texts.lastIndexOf(widest)] = widest - 1;
  }
  return widths;
}

function formatLine(
  cells: readonly PaintedCell[],
  columns: readonly TableColumn[],
  widths: readonly number[],
  lineWidth: number,
): string {
  let line = '';
  let used = 0;
  for (const [index, { text, paint }] of cells.entries()) {
    const gap = index === 0 ? '' : GAP;
    const width = Math.min(widths[index] ?? 0, lineWidth - used - gap.length);
    if (width <= 0) break;
    const shown = cutText(text, width, CUT_MARK);
    const fill = ' '.repeat(width - textWidth(shown));
    const isLast = index === cells.length - 1;
    // Colour goes around the text only, so that the padding can be measured and cut.
    line += gap + (columns[index]?.align === 'right' ? fill + paint(shown) : paint(shown) + (isLast ? '' : fill));
    used += gap.length + width;
  }
  return line.trimEnd();
}

/** Facts without a value read `-`. Values may come from another machine. */
export function formatFacts(facts: readonly (readonly [name: string, value: string])[]): string {
  const width = Math.max(...facts.map(([name]) => textWidth(name)));
  return facts
    .map(([name, value]) => `${name}:${' '.repeat(width - textWidth(name))}  ${stripControl(value) || '-'}\n`)
    .join('');
}

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

const ZERO_WIDTH = /^[\p{Mn}\p{Me}\p{Cf}]$/u;

/** First and last code points of the blocks that terminals draw two columns wide. */
const WIDE_RANGES: readonly (readonly [number, number])[] = [
  [0x1100, 0x115f], // Hangul Jamo, leading consonants
  [0x2e80, 0x303e], // CJK radicals and punctuation
  [0x3041, 0xa4cf], // kana, CJK ideographs, Yi
  [0xa960, 0xa97f], // Hangul Jamo extended A
  [0xac00, 0xd7a3], // Hangul syllables
  [0xf900, 0xfaff], // CJK compatibility ideographs
  [0xfe30, 0xfe6f], // CJK compatibility forms
  [0xff00, 0xff60], // fullwidth forms
  [0xffe0, 0xffe6], // fullwidth signs
  [0x1f300, 0x1f64f], // pictographs and emoticons
  [0x1f680, 0x1f6ff], // transport symbols
  [0x1f900, 0x1faff], // supplemental pictographs
  [0x20000, 0x3fffd], // CJK extensions
];

/** Columns of a text without control characters. */
export function textWidth(text: string): number {
  let width = 0;
  for (const character of text) width += characterWidth(character);
  return width;
}

function characterWidth(character: string): number {
  const codePoint = character.codePointAt(0) ?? 0;
  if (codePoint < 0x300) return 1;
  if (ZERO_WIDTH.test(character)) return 0;
  return WIDE_RANGES.some(([first, last]) => codePoint >= first && codePoint <= last) ? 2 : 1;
}
