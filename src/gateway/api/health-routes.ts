/** Health now, and as a report over a period. */
import type { RunState } from '../../protocol/run-state.ts';
import type { Clock } from '../../shared/clock.ts';
import { FleetError } from '../../shared/errors.ts';
import { type App, queryInteger, queryText } from '../../shared/http/fastify-app.ts';
import type { HealthMonitor } from '../health/monitor.ts';
import { renderReportCsv } from '../health/render-report-csv.ts';
import { renderReportHtml } from '../health/render-report-html.ts';
import { renderReportMarkdown } from '../health/render-report-markdown.ts';
import { renderReportText } from '../health/render-report-text.ts';
import { buildReport } from '../health/report.ts';
import type { HealthReport, ReportLimits, ReportRow } from '../health/report-types.ts';
import type { NodeRecord } from '../store/nodes-table.ts';
import type { Store } from '../store/store.ts';
import { findNode } from './find.ts';
import { healthView } from './views.ts';

const DEFAULT_PERIOD_MS = 24 * 3_600_000;

const FORMATS: Record<string, { contentType: string; render: (report: HealthReport) => string }> = {
  text: { contentType: 'text/plain; charset=utf-8', render: renderReportText },
  json: { contentType: 'application/json; charset=utf-8', render: (report) => `${JSON.stringify(report, null, 2)}\n` },
  md: { contentType: 'text/markdown; charset=utf-8', render: renderReportMarkdown },
  html: { contentType: 'text/html; charset=utf-8', render: renderReportHtml },
  csv: { contentType: 'text/csv; charset=utf-8', render: renderReportCsv },
};

export interface HealthRoutesOptions {
  store: Store;
  monitor: HealthMonitor;
  clock: Clock;
  /** Where `limited` begins; the report marks it. */
  limits: ReportLimits;
}

export function addHealthRoutes(app: App, options: HealthRoutesOptions): void {
  const { store, monitor, clock } = options;
  const read = { config: { action: 'fleet.read' as const } };

  app.get('/v1/health', read, (request) => {
    const which = queryText(request, 'node');
    return healthView(which === undefined ? livingNodes(store) : [findNode(store, which)], monitor);
  });

  /** The finished document; the header `fleet-status` says the overall status, for exit codes. */
  app.get('/v1/health/report', read, (request, reply) => {
    const from = queryInteger(request, 'since') ?? clock.now() - DEFAULT_PERIOD_MS;
    const { status, contentType, text } = renderReport(options, queryText(request, 'format') ?? 'text', from);
    return reply.header('fleet-status', status).type(contentType).send(text);
  });
}

/** The finished document on what was from `from`, ms, until now. @throws FleetError `usage`. */
export function renderReport(
  options: HealthRoutesOptions,
  name: string,
  from: number,
): { status: string; contentType: string; text: string } {
  const to = options.clock.now();
  const format = FORMATS[name];
  if (format === undefined || !Object.hasOwn(FORMATS, name)) {
    throw new FleetError('usage', `there is no report format ${name}`, {
      hint: `The formats: ${Object.keys(FORMATS).join(', ')}`,
    });
  }
  if (from >= to) throw new FleetError('usage', 'the report begins in the future');
  const rows = reportRows(options, livingNodes(options.store), from, to);
  const report = buildReport({ from, to, rows, limits: options.limits });
  return { status: report.status ?? 'unknown', contentType: format.contentType, text: format.render(report) };
}

function livingNodes(store: Store): NodeRecord[] {
  return store.nodes.all().filter((node) => node.revokedAt === null);
}

function reportRows(
  { store, monitor }: HealthRoutesOptions,
  nodes: NodeRecord[],
  from: number,
  to: number,
): ReportRow[] {
  const runs = new Map<string, { states: Partial<Record<RunState, number>>; exitedNonZero: number }>();
  for (const { nodeId, state, exitCode, count } of store.runs.countEnded(from, to)) {
    const entry = runs.get(nodeId) ?? { states: {}, exitedNonZero: 0 };
    entry.states[state] = (entry.states[state] ?? 0) + count;
    if (state === 'exited' && exitCode !== 0) entry.exitedNonZero += count;
    runs.set(nodeId, entry);
  }
  for (const { nodeId, state } of store.runs.open()) {
    const entry = runs.get(nodeId) ?? { states: {}, exitedNonZero: 0 };
    entry.states[state] = (entry.states[state] ?? 0) + 1;
    runs.set(nodeId, entry);
  }
  return nodes.map((node) => {
    const { status, reasons } = monitor.healthOf(node);
    return {
      name: node.name,
      status,
      reasons,
      joinedAt: node.createdAt,
      samples: store.health.heartbeats(node.id, from, to),
      sessions: store.health
        .sessions(node.id, from, to)
        .map(({ connectedAt, endedAt }) => ({ from: connectedAt, to: endedAt })),
      runs: runs.get(node.id)?.states ?? {},
      exitedNonZero: runs.get(node.id)?.exitedNonZero ?? 0,
    };
  });
}
