/** The health report for a mail from cron or a terminal: plain text, at most 80 columns. */
import { needsAttention } from './report.ts';
import { alertLines } from './report-alert-words.ts';
import type { HealthReport, NodeReport } from './report-types.ts';
import {
  millisecondsWords,
  nodeFacts,
  percentWords,
  periodWords,
  safe,
  summaryWords,
  uptimeWords,
} from './report-words.ts';
import { fit, wrap } from './text-columns.ts';

const WIDTH = 80;
const BULLET = { first: '  - ', rest: '    ' };
/** A node that comes and goes all day would fill the mail. */
const MOST_INCIDENTS = 5;
const MOST_ALERTS = 20;

interface Column {
  title: string;
  width: number;
  align: 'left' | 'right';
  cell: (node: NodeReport) => string;
}

const COLUMNS: readonly Column[] = [
  { title: 'NODE', width: 20, align: 'left', cell: ({ name }) => safe(name) },
  { title: 'STATUS', width: 7, align: 'left', cell: ({ status }) => status },
  { title: 'UPTIME', width: 6, align: 'right', cell: ({ uptimePct }) => uptimeWords(uptimePct) },
  { title: 'CPU', width: 4, align: 'right', cell: ({ cpuPct }) => percentWords(cpuPct?.avg) },
  { title: 'PEAK', width: 4, align: 'right', cell: ({ cpuPct }) => percentWords(cpuPct?.max) },
  { title: 'MEM', width: 4, align: 'right', cell: ({ memUsedPct }) => percentWords(memUsedPct?.max) },
  { title: 'DISK', width: 4, align: 'right', cell: ({ diskUsedPct }) => percentWords(diskUsedPct?.max) },
  { title: 'RTT P95', width: 7, align: 'right', cell: ({ rttMs }) => millisecondsWords(rttMs?.p95) },
  { title: 'RUNS', width: 6, align: 'right', cell: ({ runs }) => String(runs.total) },
  { title: 'FAILED', width: 6, align: 'right', cell: ({ runs }) => String(runs.failed) },
];

export function renderReportText(report: HealthReport): string {
  return [...reportTextPieces(report)].join('');
}

/** The same in parts of at most one node each, for {@link joinPieces}. */
export function* reportTextPieces(report: HealthReport): Generator<string> {
  yield lines(
    `Fleet health: ${report.status ?? 'no nodes'}`,
    periodWords(report.period),
    '',
    ...summaryWords(report).flatMap((sentence) => wrap(safe(sentence), WIDTH)),
  );
  const alerts = alertLines(report, MOST_ALERTS).map(safe);
  if (alerts.length > 0) yield lines('', 'Alerts', ...alerts.flatMap((alert) => wrap(alert, WIDTH, BULLET)));
  if (report.nodes.length > 0) {
    yield lines('', row(COLUMNS.map(({ title }) => title)));
    for (const node of report.nodes) yield lines(row(COLUMNS.map(({ cell }) => cell(node))));
    yield lines('', 'CPU is the mean and its peak; MEM and DISK are the highest of the period.');
  }
  const attention = report.nodes.filter(needsAttention);
  if (attention.length > 0) yield lines('', 'What needs a look');
  for (const node of attention) yield lines(...details(node));
}

function lines(...texts: string[]): string {
  return texts.map((text) => `${text}\n`).join('');
}

function row(cells: readonly string[]): string {
  return COLUMNS.map(({ width, align }, index) => fit(cells[index] ?? '', width, align))
    .join(' ')
    .trimEnd();
}

function details(node: NodeReport): string[] {
  const facts = nodeFacts(node, MOST_INCIDENTS).map(safe);
  return [
    '',
    ...wrap(`${safe(node.name)} (${node.status})`, WIDTH),
    ...facts.flatMap((fact) => wrap(fact, WIDTH, BULLET)),
  ];
}
