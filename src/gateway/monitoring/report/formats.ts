/** The formats of a health report. Each comes in pieces of at most one node, so that a long one leaves others their turns. */
import { setImmediate } from 'node:timers/promises';
import { harmlessJson, stripControl } from '../../../shared/text.ts';
import type { HealthReport } from './build.ts';
import { type Cell, COLUMNS } from './columns.ts';
import { htmlPieces } from './page.ts';
import { markdownPieces, textPieces } from './text.ts';

interface ReportFormat {
  contentType: string;
  pieces(report: HealthReport): Iterable<string>;
}

export const REPORT_FORMATS: Record<string, ReportFormat> = {
  text: { contentType: 'text/plain; charset=utf-8', pieces: textPieces },
  json: { contentType: 'application/json; charset=utf-8', pieces: jsonPieces },
  md: { contentType: 'text/markdown; charset=utf-8', pieces: markdownPieces },
  html: { contentType: 'text/html; charset=utf-8', pieces: htmlPieces },
  csv: { contentType: 'text/csv; charset=utf-8', pieces: csvPieces },
};

/** Pieces per turn: some 5 ms of work. */
const TURN_PIECES = 20;

/** Puts a document together, with pauses. */
export async function joinPieces(pieces: Iterable<string>): Promise<string> {
  const done: string[] = [];
  for (const piece of pieces) {
    done.push(piece);
    if (done.length % TURN_PIECES === 0) await setImmediate();
  }
  return done.join('');
}

/** The same text as `JSON.stringify(report, null, 2)` with harmless characters, and a line break. */
function* jsonPieces(report: HealthReport): Generator<string> {
  const indent = 2;
  // The nodes come last, so a report without nodes holds all that surrounds them.
  const { nodes, ...rest } = report;
  const frame = harmlessJson({ ...rest, nodes: [] }, indent);
  yield frame.slice(0, -']\n}'.length);
  for (const [index, node] of nodes.entries()) {
    const lines = harmlessJson([node], indent).slice('[\n'.length, -'\n]'.length);
    // The second replacement, rather than a prefix, flattens the string: half the time in all.
    yield `${index === 0 ? '' : ','}\n${lines.replaceAll('\n', '\n  ').replace(/^/, '  ')}`;
  }
  yield `${nodes.length === 0 ? '' : '\n  '}]\n}\n`;
}

/** RFC 4180: lines end in CRLF, the first one names the columns, an unknown figure is an empty cell. */
function* csvPieces(report: HealthReport): Generator<string> {
  const line = (cells: readonly Cell[]): string => `${cells.map(csvCell).join(',')}\r\n`;
  yield line(COLUMNS.map(({ name }) => name));
  for (const node of report.nodes) yield line(COLUMNS.map(({ value }) => value(node, report)));
}

/** Numbers have a point and at most three decimals. Text is quoted where RFC 4180 asks for it. */
export function csvCell(cell: Cell): string {
  if (cell === null) return '';
  if (typeof cell === 'number') return String(Math.round(cell * 1000) / 1000);
  const text = stripControl(withoutFormula(cell));
  return /[",]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
}

/**
 * Spreadsheets run a text that begins with one of these (OWASP: CSV injection), some also after blanks or in its fullwidth
 * form; a leading apostrophe makes it plain text.
 */
function withoutFormula(text: string): string {
  return /^[\s\0]*[=+\-@|%\uff1d\uff0b\uff0d\uff20]|^[\t\r\n]/.test(text) ? `'${text}` : text;
}
