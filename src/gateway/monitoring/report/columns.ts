/** The columns of the table of nodes: one list for CSV, text and Markdown, each of which shows those it has a title for. */
import type { HealthReport, NodeReport } from './build.ts';
import { millisecondsWords, NO_FIGURE, percentWords, uptimeWords } from './words.ts';

export type Cell = string | number | null;

interface Titles {
  text?: string;
  /** In text. */
  width?: number;
  markdown?: string;
}

interface Column extends Titles {
  /** In CSV, which shows every column. */
  name: string;
  value(node: NodeReport, report: HealthReport): Cell;
  /** The value as people read it. */
  words(node: NodeReport, report: HealthReport): string;
}

export const COLUMNS: readonly Column[] = [
  column('node', ({ name }) => name, { text: 'NODE', width: 20, markdown: 'Node' }),
  column('status', ({ status }) => status, { text: 'STATUS', width: 7, markdown: 'Status' }),
  column('reasons', ({ reasons }) => reasons.join('; ')),
  column('period_from', (_, { period }) => period.from),
  column('period_to', (_, { period }) => period.to),
  column('joined_at', ({ joinedAt }) => joinedAt),
  column('uptime_pct', ({ uptimePct }) => uptimePct, { text: 'UPTIME', width: 6, markdown: 'Uptime' }, uptimeWords),
  column('outages', ({ outages }) => outages),
  column('incidents', ({ incidents }) => incidents.length),
  column('offline_s', ({ offlineMs }) => offlineMs / 1000),
  ...statistics('cpu_pct', 'cpuPct', percentWords, {
    avg: { text: 'CPU', width: 4, markdown: 'CPU mean' },
    max: { text: 'PEAK', width: 4 },
    p95: { markdown: 'CPU p95' },
  }),
  ...statistics('mem_used_pct', 'memUsedPct', percentWords, {
    max: { text: 'MEM', width: 4 },
    p95: { markdown: 'Memory p95' },
  }),
  ...statistics('disk_used_pct', 'diskUsedPct', percentWords, {
    max: { text: 'DISK', width: 4, markdown: 'Disk max' },
  }),
  ...statistics('rtt_ms', 'rttMs', millisecondsWords, {
    p95: { text: 'RTT P95', width: 7, markdown: 'RTT p95' },
  }),
  column('link_score', ({ linkScore }) => linkScore),
  column('machine_score', ({ machineScore }) => machineScore),
  column('disk_full_at', ({ forecasts }) => forecasts[0]?.fullAt ?? null),
  column('alerts', ({ alerts }) => alerts.fired),
  column('alerts_firing', ({ alerts }) => alerts.firing),
  column('runs', ({ runs }) => runs.total, { text: 'RUNS', width: 6, markdown: 'Runs' }),
  column('runs_succeeded', ({ runs }) => runs.succeeded),
  column('runs_failed', ({ runs }) => runs.failed, { text: 'FAILED', width: 6, markdown: 'Failed' }),
  column('runs_canceled', ({ runs }) => runs.canceled),
  column('runs_active', ({ runs }) => runs.active),
];

function column<T extends Cell>(
  name: string,
  value: (node: NodeReport, report: HealthReport) => T,
  titles: Titles = {},
  words: (value: T) => string = (cell) => String(cell ?? NO_FIGURE),
): Column {
  return { name, value, words: (node, report) => words(value(node, report)), ...titles };
}

function statistics(
  prefix: string,
  figure: 'cpuPct' | 'memUsedPct' | 'diskUsedPct' | 'rttMs',
  words: (value: number | null) => string,
  titles: Partial<Record<'avg' | 'max' | 'p95', Titles>>,
): Column[] {
  const parts = ['min', 'avg', 'max', 'p95'] as const;
  return parts.map((part) =>
    column(`${prefix}_${part}`, (node) => node[figure]?.[part] ?? null, part === 'min' ? {} : titles[part], words),
  );
}
