/** The health report as plain text of at most 80 columns, for a terminal or a mail, and as GitHub-flavoured Markdown. */
import { stripControl } from '../../../shared/text.ts';
import { cutToWidth, fitText, textWidth } from '../../../shared/text-width.ts';
import { type HealthReport, needsAttention } from './build.ts';
import { COLUMNS } from './columns.ts';
import { alertLines, nodeFacts, periodWords, summaryWords } from './words.ts';

/** How a format writes the parts of the report, in lines. */
interface Layout {
  mostAlerts: number;
  /** Of one node: one that comes and goes all day must not fill the page. */
  mostIncidents: number;
  summary(title: string, period: string, sentences: readonly string[]): string[];
  heading(level: 2 | 3, title: string): string[];
  list(items: readonly string[]): string[];
  tableHead: readonly string[];
  tableRow(cells: readonly string[]): string;
  tableNote: readonly string[];
  columns: typeof COLUMNS;
}

const WIDTH = 80;
const TEXT_COLUMNS = COLUMNS.filter(({ text }) => text !== undefined);
const MARKDOWN_COLUMNS = COLUMNS.filter(({ markdown }) => markdown !== undefined);

const textRow = (cells: readonly string[]): string =>
  TEXT_COLUMNS.map(({ name, width = 0 }, index) => {
    const align = name === 'node' || name === 'status' ? 'left' : 'right';
    return fitText(stripControl(cells[index] ?? ''), width, '…', align);
  })
    .join(' ')
    .trimEnd();

const TEXT: Layout = {
  mostAlerts: 20,
  mostIncidents: 5,
  summary: (title, period, sentences) => [
    title,
    period,
    '',
    ...sentences.flatMap((sentence) => wrap(stripControl(sentence), WIDTH)),
  ],
  heading: (_, title) => wrap(stripControl(title), WIDTH),
  list: (items) => items.flatMap((item) => wrap(stripControl(item), WIDTH, { first: '  - ', rest: '    ' })),
  tableHead: [textRow(TEXT_COLUMNS.map(({ text }) => text ?? ''))],
  tableRow: textRow,
  tableNote: ['', 'CPU is the mean, PEAK its highest value; MEM and DISK are the highest values.'],
  columns: TEXT_COLUMNS,
};

const markdownRow = (cells: readonly string[]): string => `| ${cells.join(' | ')} |`;

const MARKDOWN: Layout = {
  mostAlerts: 50,
  mostIncidents: 10,
  summary: (title, period, sentences) => [`# ${title}`, '', period, ...MARKDOWN.list(sentences)],
  heading: (level, title) => [`${'#'.repeat(level)} ${escapeMarkdown(title)}`],
  list: (items) => ['', ...items.map((item) => `- ${escapeMarkdown(item)}`)],
  tableHead: [
    markdownRow(MARKDOWN_COLUMNS.map(({ markdown }) => markdown ?? '')),
    markdownRow(MARKDOWN_COLUMNS.map((_, index) => (index < 2 ? '---' : '---:'))),
  ],
  // Only names can hold anything but figures and words of this program.
  tableRow: ([name = '', ...cells]) => markdownRow([escapeMarkdown(name), ...cells]),
  tableNote: [],
  columns: MARKDOWN_COLUMNS,
};

export const textPieces = (report: HealthReport): Iterable<string> => piecesOf(report, TEXT);
export const markdownPieces = (report: HealthReport): Iterable<string> => piecesOf(report, MARKDOWN);

function* piecesOf(report: HealthReport, layout: Layout): Generator<string> {
  const { nodes, status, period } = report;
  yield lines(...layout.summary(`Fleet health: ${status ?? 'no nodes'}`, periodWords(period), summaryWords(report)));
  const alerts = alertLines(report, layout.mostAlerts);
  if (alerts.length > 0) yield lines('', ...layout.heading(2, 'Alerts'), ...layout.list(alerts));
  if (nodes.length > 0) yield lines('', ...layout.tableHead);
  for (const node of nodes) yield lines(layout.tableRow(layout.columns.map(({ words }) => words(node, report))));
  if (nodes.length > 0) yield lines(...layout.tableNote);
  const attention = nodes.filter(needsAttention);
  if (attention.length > 0) yield lines('', ...layout.heading(2, 'Needs attention'));
  for (const node of attention) {
    const title = `${node.name} (${node.status})`;
    yield lines('', ...layout.heading(3, title), ...layout.list(nodeFacts(node, layout.mostIncidents)));
  }
}

function lines(...texts: string[]): string {
  return texts.map((text) => `${text}\n`).join('');
}

/**
 * Text without any meaning to Markdown: what has one anywhere in a line (CommonMark 2.4, GFM tables) gets a backslash, as does
 * the start of a list or heading; `&`, `<`, `@` and the start of a URL become entities, so that nothing becomes a tag, a link
 * or a mention.
 */
export function escapeMarkdown(text: string): string {
  return stripControl(text)
    .replace(/[\\`*_[\]|~$]/g, '\\$&')
    .replace(/^[-+=#]/, '\\$&')
    .replace(/[&<>@]|:(?=\/\/)|(?<=www)\./gi, (character) => `&#${character.charCodeAt(0)};`);
}

/**
 * `text` in lines of at most `width` columns, broken at spaces; a word that is too long for a line is broken in the middle.
 * `prefixes` precede the first line and those that follow.
 */
export function wrap(text: string, width: number, prefixes = { first: '', rest: '' }): string[] {
  const wrapped: string[] = [];
  let line = prefixes.first;
  let isEmpty = true;
  for (const word of text.split(/ +/)) {
    if (!isEmpty && textWidth(line) + 1 + textWidth(word) > width) {
      wrapped.push(line);
      line = prefixes.rest;
      isEmpty = true;
    }
    if (!isEmpty) line += ' ';
    let rest = word;
    while (textWidth(line) + textWidth(rest) > width) {
      // At least one character, or this would never end.
      const part = cutToWidth(rest, width - textWidth(line)) || String.fromCodePoint(rest.codePointAt(0) ?? 0);
      wrapped.push(line + part);
      rest = rest.slice(part.length);
      line = prefixes.rest;
    }
    line += rest;
    isEmpty = false;
  }
  wrapped.push(line);
  return wrapped;
}
