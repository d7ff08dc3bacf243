/** The health report as CSV (RFC 4180), one row a node, that a spreadsheet can open without running anything. */
import { stripControl } from '../../../shared/text.ts';
import type { HealthReport, NodeReport } from './report-types.ts';

type Cell = string | number | null;

const COLUMNS: readonly [name: string, cell: (node: NodeReport, report: HealthReport) => Cell][] = [
  ['node', (node) => node.name],
  ['status', (node) => node.status],
  ['reasons', (node) => node.reasons.join('; ')],
  ['period_from', (_, report) => report.period.from],
  ['period_to', (_, report) => report.period.to],
  ['joined_at', (node) => node.joinedAt],
  ['uptime_pct', (node) => node.uptimePct],
  ['outages', (node) => node.outages],
  ['incidents', (node) => node.incidents.length],
  ['offline_s', (node) => node.offlineMs / 1000],
  ...statisticsColumns('cpu_pct', 'cpuPct'),
  ...statisticsColumns('mem_used_pct', 'memUsedPct'),
  ...statisticsColumns('disk_used_pct', 'diskUsedPct'),
  ...statisticsColumns('rtt_ms', 'rttMs'),
  ['link_score', (node) => node.linkScore],
  ['machine_score', (node) => node.machineScore],
  ['disk_full_at', (node) => node.forecasts[0]?.fullAt ?? null],
  ['alerts', (node) => node.alerts.fired],
  ['alerts_firing', (node) => node.alerts.firing],
  ['runs', (node) => node.runs.total],
  ['runs_succeeded', (node) => node.runs.succeeded],
  ['runs_failed', (node) => node.runs.failed],
  ['runs_canceled', (node) => node.runs.canceled],
  ['runs_active', (node) => node.runs.active],
];

/** Lines end in CRLF; the first holds the names of the columns; an unknown figure is an empty cell. */
export function renderReportCsv(report: HealthReport): string {
  return [...reportCsvPieces(report)].join('');
}

/** The same in parts of at most one node each, for {@link joinPieces}. */
export function* reportCsvPieces(report: HealthReport): Generator<string> {
  yield line(COLUMNS.map(([name]) => name));
  for (const node of report.nodes) yield line(COLUMNS.map(([, cell]) => cell(node, report)));
}

function line(row: readonly Cell[]): string {
  return `${row.map(csvCell).join(',')}\r\n`;
}

function statisticsColumns(
  prefix: string,
  key: 'cpuPct' | 'memUsedPct' | 'diskUsedPct' | 'rttMs',
): [string, (node: NodeReport) => Cell][] {
  return (['min', 'avg', 'max', 'p95'] as const).map((part) => [
    `${prefix}_${part}`,
    (node) => node[key]?.[part] ?? null,
  ]);
}

/** Numbers have a point and at most three decimals. Text is quoted where RFC 4180 asks for it. */
export function csvCell(cell: Cell): string {
  if (cell === null) return '';
  if (typeof cell === 'number') return String(Math.round(cell * 1000) / 1000);
  const text = stripControl(withoutFormula(cell));
  return /[",]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
}

/**
 * Spreadsheets run a text that begins with one of these (OWASP: CSV injection), some also behind blanks or in its
 * fullwidth form; an apostrophe in front makes it plain text.
 */
function withoutFormula(text: string): string {
  return /^[\s\0]*[=+\-@|%\uff1d\uff0b\uff0d\uff20]|^[\t\r\n]/.test(text) ? `'${text}` : text;
}
