/** `fleet top` as lines: a pure function of the state and the size of the terminal. */
import { NODE_STATUSES } from '../../domain/states.ts';
import type { HealthNodeView } from '../../protocol/views.ts';
import { formatDuration } from '../../shared/duration.ts';
import { stripControl } from '../../shared/text.ts';
import { cutToWidth, fitText, textWidth } from '../../shared/text-width.ts';
import { formatMs, STATUS_COLORS, type TerminalStyle } from '../output/print.ts';
import { SORT_LETTERS, type SortKey, type TopState, visibleNodes } from './top-state.ts';

export interface TopFrame {
  columns: number;
  /** Infinity for all nodes. */
  rows: number;
  /** Now, ms since the epoch. */
  now: number;
  style: TerminalStyle;
  /** Whether the terminal shows more than ASCII. */
  unicode: boolean;
}

/** Title, table header, and the footer with the keys. */
const FIXED_ROWS = 3;

/** How many nodes fit on the screen. */
export function pageRows({ rows }: Pick<TopFrame, 'rows'>): number {
  return Math.max(1, rows - FIXED_ROWS);
}

/** At most `rows` lines, each at most `columns` wide. */
export function renderTop(state: TopState, frame: TopFrame): string[] {
  const lines = state.help ? helpLines(frame) : tableLines(state, frame);
  return lines.slice(0, frame.rows);
}

/** All nodes without the footer, for a file. */
export function renderFrame(state: TopState, frame: Omit<TopFrame, 'rows'>): string[] {
  return renderTop(state, { ...frame, rows: Number.POSITIVE_INFINITY }).slice(0, -1);
}

/** Text that is safe for this terminal. */
function clean(text: string, { unicode }: Pick<TopFrame, 'unicode'>): string {
  const safe = stripControl(text);
  return unicode ? safe : safe.replace(/[^ -~]/gu, '?');
}

function markOf({ unicode }: TopFrame): string {
  return unicode ? '…' : '~';
}

/** One line, cut at the width of the terminal. */
function fitLine(text: string, frame: TopFrame): string {
  return cutToWidth(clean(text, frame), frame.columns, markOf(frame));
}

function fitCell(text: string, { width, align }: Pick<TopColumn, 'width' | 'align'>, frame: TopFrame): string {
  return fitText(clean(text, frame), width, markOf(frame), align);
}

function tableLines(state: TopState, frame: TopFrame): string[] {
  const { style } = frame;
  const nodes = visibleNodes(state);
  const columns = chooseColumns(state.nodes ?? [], frame.columns);
  const details = state.details ? detailLines(nodes, state, frame) : [];
  const room = Math.max(0, frame.rows - FIXED_ROWS - details.length);
  const from = firstShown(nodes, state.selected, room);
  const shown = nodes.slice(from, from + room);
  return [
    state.lost === undefined
      ? style.bold(fitLine(titleOf(state, frame), frame))
      : style.red(fitLine(lostOf(state, frame), frame)),
    style.bold(headerLine(columns, state, frame)),
    ...shown.map((node) => rowLine(node, columns, node.name === state.selected, frame)),
    ...details,
    style.dim(fitLine(footerOf(state, nodes.length, from, shown.length), frame)),
  ];
}

/** Keeps the selected node in the middle where possible. */
function firstShown(nodes: readonly HealthNodeView[], selected: string | undefined, room: number): number {
  const index = nodes.findIndex(({ name }) => name === selected);
  return Math.max(0, Math.min(index - Math.floor(room / 2), nodes.length - room));
}

function titleOf({ nodes = [], receivedAt }: TopState, { now }: TopFrame): string {
  const counts = NODE_STATUSES.flatMap((status) => {
    const count = nodes.filter((node) => node.status === status).length;
    return count === 0 ? [] : [`${count} ${status}`];
  });
  const age = now - receivedAt < 5_000 ? '' : ` (${ageOf(receivedAt, now)})`;
  return `fleet top: ${counts.join(', ') || 'no nodes yet'}${age}`;
}

function lostOf({ lost = '', receivedAt }: TopState, { now }: TopFrame): string {
  return `gateway lost, data from ${ageOf(receivedAt, now)}: ${lost}`;
}

function ageOf(receivedAt: number, now: number): string {
  return `${formatDuration(Math.floor(Math.max(0, now - receivedAt) / 1_000) * 1_000)} ago`;
}

function headerLine(columns: readonly TopColumn[], state: TopState, frame: TopFrame): string {
  const arrow = frame.unicode ? (state.reversed ? '▲' : '▼') : state.reversed ? '^' : 'v';
  const cells = columns.map((column) =>
    fitCell(column.header + (column.sort === state.sort ? arrow : ''), column, frame),
  );
  return cutToWidth(' '.repeat(MARGIN) + cells.join(' '.repeat(GAP)), frame.columns, '').trimEnd();
}

function rowLine(node: HealthNodeView, columns: readonly TopColumn[], isSelected: boolean, frame: TopFrame): string {
  const cells = columns.map((column) => {
    const text = fitCell(column.text(node), column, frame);
    if (column.header === 'STATUS') return frame.style[STATUS_COLORS[node.status]](text);
    return isSelected && column.header === 'NAME' ? frame.style.bold(text) : text;
  });
  const margin = fitText(isSelected ? '>' : '', Math.min(MARGIN, frame.columns - 1), '');
  return (margin + cells.join(' '.repeat(GAP))).trimEnd();
}

function detailLines(nodes: readonly HealthNodeView[], { selected }: TopState, frame: TopFrame): string[] {
  const node = nodes.find(({ name }) => name === selected);
  if (node === undefined) return [fitLine('  no node selected: use the arrow keys', frame)];
  const up = node.uptimeS === null ? '' : `, up ${formatDuration(node.uptimeS * 1_000)}`;
  const skew = node.skewMs === null ? '' : `, clock ${node.skewMs} ms off`;
  return [
    fitLine(`  ${node.name}: ${node.status}${up}${skew}, seen ${node.lastSeenAt ?? 'never'}`, frame),
    ...node.reasons.map((reason) => fitLine(`    ${reason}`, frame)),
  ];
}

function footerOf({ filter, typing }: TopState, total: number, from: number, shown: number): string {
  if (typing) return `filter: ${filter}_`;
  const part = shown < total ? `${from + 1}-${from + shown} of ${total}  ` : '';
  const filtered = filter === '' ? '' : `filter: ${filter}  `;
  return `${part}${filtered}q quit  ? help  / filter  r reverse`;
}

function helpLines(frame: TopFrame): string[] {
  const sorts = Object.entries(SORT_LETTERS).map(([letter, sort]) => `${letter} ${sort}`);
  const lines = [
    'fleet top: keys',
    `  sort by      ${sorts.slice(0, 4).join(', ')},`,
    `               ${sorts.slice(4).join(', ')}`,
    '  r            reverse the order',
    '  /            filter by name or status; Enter keeps it, Esc clears it',
    '  up, down     select a node (j, k, PgUp, PgDn, Home, End)',
    '  Enter        details of the selected node',
    '  q, Ctrl-C    quit',
    'Press any key to go back.',
  ];
  return lines.map((text) => fitLine(text, frame));
}

interface TopColumn {
  header: string;
  sort?: SortKey;
  align: 'left' | 'right';
  width: number;
  text(node: HealthNodeView): string;
}

/** Between two columns. */
const GAP = 2;
/** Before the first column, for the mark of the selected node. */
const MARGIN = 2;
const MAX_NAME_WIDTH = 32;
const MIN_NAME_WIDTH = 4;
/** Narrower than this, reasons are useless. */
const MIN_REASON_WIDTH = 10;

/** Most important first: a narrow terminal drops columns from the end. */
const FIGURES: readonly Omit<TopColumn, 'align'>[] = [
  { header: 'STATUS', sort: 'status', width: 7, text: ({ status }) => status },
  { header: 'CPU', sort: 'cpu', width: 5, text: ({ cpuPct }) => percent(cpuPct) },
  { header: 'MEM', sort: 'mem', width: 5, text: ({ memUsedPct }) => percent(memUsedPct) },
  { header: 'DISK', sort: 'disk', width: 5, text: ({ diskUsedPct }) => percent(diskUsedPct) },
  { header: 'LOAD', sort: 'load', width: 6, text: ({ load1 }) => load1?.toFixed(2) ?? '-' },
  { header: 'RTT', sort: 'rtt', width: 8, text: ({ rttMs }) => formatMs(rttMs, '-') },
  { header: 'RUNS', sort: 'runs', width: 5, text: ({ runsActive }) => String(runsActive ?? '-') },
];

/** The columns that fit into `columns` characters; the name always does, however short it gets. */
function chooseColumns(nodes: readonly HealthNodeView[], columns: number): TopColumn[] {
  const longest = Math.max('NAME'.length + 1, ...nodes.map(({ name }) => textWidth(name)));
  const room = Math.max(1, columns - MARGIN);
  let nameWidth = Math.min(longest, MAX_NAME_WIDTH, room);
  let left = room - nameWidth;
  const chosen: TopColumn[] = [];
  for (const figure of FIGURES) {
    // The status matters more than the end of a long name.
    const spare = chosen.length === 0 ? Math.max(0, nameWidth - MIN_NAME_WIDTH) : 0;
    if (left + spare < figure.width + GAP) break;
    left -= figure.width + GAP;
    nameWidth += Math.min(0, left);
    left = Math.max(0, left);
    chosen.push({ ...figure, align: figure.sort === 'status' ? 'left' : 'right' });
  }
  const name: TopColumn = { header: 'NAME', sort: 'name', align: 'left', width: nameWidth, text: (node) => node.name };
  if (left < MIN_REASON_WIDTH + GAP) return [name, ...chosen];
  const why: TopColumn = { header: 'WHY', align: 'left', width: left - GAP, text: ({ reasons }) => reasons.join(', ') };
  return [name, ...chosen, why];
}

function percent(value: number | null): string {
  return value === null ? '-' : `${Math.round(value)}%`;
}
