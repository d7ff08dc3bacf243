/** The health report as GitHub-flavoured Markdown, for an issue, a chat or a wiki. */
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

const MOST_INCIDENTS = 10;
const MOST_ALERTS = 50;

export function renderReportMarkdown(report: HealthReport): string {
  return [...reportMarkdownPieces(report)].join('');
}

/** The same in parts of at most one node each, for {@link joinPieces}. */
export function* reportMarkdownPieces(report: HealthReport): Generator<string> {
  yield lines(
    `# Fleet health: ${report.status ?? 'no nodes'}`,
    '',
    periodWords(report.period),
    '',
    ...summaryWords(report).map((sentence) => `- ${escapeMarkdown(sentence)}`),
  );
  const alerts = alertLines(report, MOST_ALERTS);
  if (alerts.length > 0) yield lines('', '## Alerts', '', ...alerts.map((alert) => `- ${escapeMarkdown(alert)}`));
  if (report.nodes.length > 0) {
    yield lines(
      '',
      '| Node | Status | Uptime | CPU mean | CPU p95 | Memory p95 | Disk max | RTT p95 | Runs | Failed |',
      '| --- | --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |',
    );
    for (const node of report.nodes) yield lines(tableRow(node));
  }
  const attention = report.nodes.filter(needsAttention);
  if (attention.length > 0) yield lines('', '## What needs a look');
  for (const node of attention) yield lines(...details(node));
}

function lines(...texts: string[]): string {
  return texts.map((text) => `${text}\n`).join('');
}

function tableRow(node: NodeReport): string {
  const cells = [
    escapeMarkdown(node.name),
    node.status,
    uptimeWords(node.uptimePct),
    percentWords(node.cpuPct?.avg),
    percentWords(node.cpuPct?.p95),
    percentWords(node.memUsedPct?.p95),
    percentWords(node.diskUsedPct?.max),
    millisecondsWords(node.rttMs?.p95),
    String(node.runs.total),
    String(node.runs.failed),
  ];
  return `| ${cells.join(' | ')} |`;
}

function details(node: NodeReport): string[] {
  const facts = nodeFacts(node, MOST_INCIDENTS).map((fact) => `- ${escapeMarkdown(fact)}`);
  return ['', `### ${escapeMarkdown(node.name)} (${node.status})`, '', ...facts];
}

/**
 * Text that means nothing to Markdown: what has a meaning anywhere in a line (CommonMark 2.4, GFM tables) gets a backslash,
 * as does what begins a list or heading; `&`, `<`, `@` and the start of a URL become entities, so that nothing becomes a
 * tag, a link or a mention of somebody.
 */
export function escapeMarkdown(text: string): string {
  return safe(text)
    .replace(/[\\`*_[\]|~$]/g, '\\$&')
    .replace(/^[-+=#]/, '\\$&')
    .replace(/[&<>@]|:(?=\/\/)|(?<=www)\./gi, (character) => `&#${character.charCodeAt(0)};`);
}
