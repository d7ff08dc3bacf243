/** The columns of `fleet top`, and which of them a terminal of some width has room for. */
import type { HealthNodeView } from '../../protocol/views.ts';
import { textWidth } from '../output/text-width.ts';
import type { SortKey } from './top-state.ts';

export interface TopColumn {
  header: string;
  sort?: SortKey;
  align: 'left' | 'right';
  width: number;
  text(node: HealthNodeView): string;
}

/** Between two columns. */
export const GAP = 2;
/** In front of the first, for the mark of the selected node. */
export const MARGIN = 2;
const MAX_NAME_WIDTH = 32;
const MIN_NAME_WIDTH = 4;
/** Narrower than this, reasons say nothing. */
const MIN_REASON_WIDTH = 10;

/** The most important first: a narrow terminal drops from the end. */
const FIGURES: readonly Omit<TopColumn, 'align'>[] = [
  { header: 'STATUS', sort: 'status', width: 7, text: ({ status }) => status },
  { header: 'CPU', sort: 'cpu', width: 5, text: ({ cpuPct }) => percent(cpuPct) },
  { header: 'MEM', sort: 'mem', width: 5, text: ({ memUsedPct }) => percent(memUsedPct) },
  { header: 'DISK', sort: 'disk', width: 5, text: ({ diskUsedPct }) => percent(diskUsedPct) },
  { header: 'LOAD', sort: 'load', width: 6, text: ({ load1 }) => load1?.toFixed(2) ?? '-' },
  { header: 'RTT', sort: 'rtt', width: 8, text: ({ rttMs }) => milliseconds(rttMs) },
  { header: 'RUNS', sort: 'runs', width: 5, text: ({ runsActive }) => String(runsActive ?? '-') },
];

/** All columns that fit into `columns` characters; the name always does, however little is left of it. */
export function chooseColumns(nodes: readonly HealthNodeView[], columns: number): TopColumn[] {
  const longest = Math.max('NAME'.length + 1, ...nodes.map(({ name }) => textWidth(name)));
  const room = Math.max(1, columns - MARGIN);
  let nameWidth = Math.min(longest, MAX_NAME_WIDTH, room);
  let left = room - nameWidth;
  const chosen: TopColumn[] = [];
  for (const figure of FIGURES) {
    // The status is worth more than the rest of a long name.
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

function milliseconds(value: number | null): string {
  return value === null ? '-' : `${value < 10 ? value.toFixed(1) : Math.round(value)} ms`;
}
