/** Tables for people: aligned columns with a header, as kubectl prints them; on a terminal no wider than that. */
import { stripControl } from '../../shared/strip-control.ts';
import { cutText } from './fit-text.ts';
import { textWidth } from './text-width.ts';

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
