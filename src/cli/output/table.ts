/** Tables and lists of facts for people: aligned, safe to print, and no wider than the terminal. */
import { stripControl } from '../../shared/text.ts';
import { cutToWidth, textWidth } from '../../shared/text-width.ts';
import { type OutputPort, type Printer, printList } from './print.ts';

const GAP = '  ';
const CUT_MARK = '…';
/** Text columns shrink down to this, the widest first; after that the last columns are dropped. */
const MIN_TEXT_WIDTH = 10;

/** A header; columns of numbers align to the right. */
type TableColumn = string | { header: string; align: 'right' };

/** A text, which may come from another machine, and its colour. */
export type TableCell = string | { text: string; paint: (text: string) => string };

export function right(header: string): TableColumn {
  return { header, align: 'right' };
}

/** A column: its cell of an item, or with `right` that of a number. Times are relative to `now`. */
type Cell<T> = (item: T, now: number) => TableCell;
type Columns<T> = Readonly<Record<string, Cell<T> | { right: Cell<T> }>>;

/** A list: one JSON document, or a table of these columns; an empty one is a note on stderr. */
export function printTable<T>(
  printer: Printer & { clock: { now(): number } },
  items: readonly T[],
  emptyNote: string,
  columns: Columns<T>,
): number {
  return printList(printer, items, emptyNote, () => tableOf(items, columns, printer.clock.now(), printer.out));
}

export function tableOf<T>(items: readonly T[], columns: Columns<T>, now: number, out: OutputPort): string {
  const cells = Object.values(columns).map((column) => (typeof column === 'object' ? column.right : column));
  const headers = Object.entries(columns).map(([name, column]) => (typeof column === 'object' ? right(name) : name));
  const rows = items.map((item) => cells.map((cell) => cell(item, now)));
  return formatTable(headers, rows, out);
}

/** A header line and one line a row, with newlines and without trailing spaces. An empty cell reads `-`. Fits the terminal of `out`. */
export function formatTable(
  columns: readonly TableColumn[],
  rows: readonly (readonly TableCell[])[],
  out?: { style: { bold(text: string): string }; size: OutputPort['size'] },
): string {
  const paint = out?.style.bold ?? ((text) => text);
  const header = columns.map((column) => ({ text: typeof column === 'string' ? column : column.header, paint }));
  const lines = [header, ...rows.map((row) => columns.map((_, index) => toCell(row[index] ?? '')))];
  const needed = columns.map((_, index) =>
    lines.reduce((widest, cells) => Math.max(widest, textWidth(cells[index]?.text ?? '')), 0),
  );
  const width = out?.size()?.columns ?? Number.POSITIVE_INFINITY;
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

function isRight(column: TableColumn | undefined): boolean {
  return typeof column === 'object';
}

/** Widths that together fit into `width`, unless that would make a text column too narrow. */
function fitWidths(needed: readonly number[], columns: readonly TableColumn[], width: number): number[] {
  const widths = [...needed];
  const total = (): number => widths.reduce((sum, each) => sum + each, GAP.length * (widths.length - 1));
  while (total() > width) {
    const texts = widths.map((each, index) => (isRight(columns[index]) ? 0 : each));
    const widest = Math.max(...texts);
    if (widest <= MIN_TEXT_WIDTH) break;
    // Of several, the last: names and ids come first and matter most.
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
    const shown = cutToWidth(text, width, CUT_MARK);
    const fill = ' '.repeat(width - textWidth(shown));
    const isLast = index === cells.length - 1;
    // Paint the text only, so that the padding can be measured and cut.
    line += gap + (isRight(columns[index]) ? fill + paint(shown) : paint(shown) + (isLast ? '' : fill));
    used += gap.length + width;
  }
  return line.trimEnd();
}

/** One name and value a line, the values aligned; a missing value reads `-`. Values may come from another machine. */
export function formatFacts(facts: readonly (readonly [name: string, value: string])[]): string {
  const width = Math.max(...facts.map(([name]) => textWidth(name)));
  return facts
    .map(([name, value]) => `${name}:${' '.repeat(width - textWidth(name))}  ${stripControl(value) || '-'}\n`)
    .join('');
}
