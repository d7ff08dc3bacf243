/** Tables for people: aligned columns with a header, as kubectl prints them. */
import { stripControl } from '../../shared/strip-control.ts';
import { textWidth } from './text-width.ts';

const GAP = '  ';

export interface TableColumn {
  header: string;
  /** Numbers read better at the right. */
  align?: 'left' | 'right';
}

/** A text, which may come from another machine, and what colours it. */
export type TableCell = string | { text: string; paint: (text: string) => string };

export interface TableOptions {
  paintHeader?: (text: string) => string;
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
  const widths = columns.map((_, index) => Math.max(...lines.map((cells) => textWidth(cells[index]?.text ?? ''))));
  return lines.map((cells) => `${formatLine(cells, columns, widths)}\n`).join('');
}

interface PaintedCell {
  text: string;
  paint: (text: string) => string;
}

function toCell(cell: TableCell): PaintedCell {
  const { text, paint } = typeof cell === 'string' ? { text: cell, paint: (same: string) => same } : cell;
  return { text: stripControl(text).trim() || '-', paint };
}

function formatLine(cells: readonly PaintedCell[], columns: readonly TableColumn[], widths: readonly number[]): string {
  let line = '';
  cells.forEach(({ text, paint }, index) => {
    const fill = ' '.repeat((widths[index] ?? 0) - textWidth(text));
    const isLast = index === cells.length - 1;
    // Colour goes around the text only, so that the padding can be measured and cut.
    line += columns[index]?.align === 'right' ? fill + paint(text) : paint(text) + (isLast ? '' : fill);
    if (!isLast) line += GAP;
  });
  return line;
}
