/** Health now, and as a report over a period. */
import type { HealthView } from '../../protocol/views.ts';
import type { Clock } from '../../shared/clock.ts';
import { FleetError } from '../../shared/errors.ts';
import { type App, queryInteger, queryText } from '../../shared/http/fastify-app.ts';
import type { Alerts } from '../monitoring/alerts/alerts.ts';
import type { HealthMonitor } from '../monitoring/judge/monitor.ts';
import { joinPieces, REPORT_FORMATS } from '../monitoring/report/formats.ts';
import { gatherReport } from '../monitoring/report/gather.ts';
import type { ReportLimits } from '../monitoring/report/model.ts';
import type { NodeRecord } from '../nodes/nodes-table.ts';
import type { Sessions } from '../nodes/sessions.ts';
import { type ApiStore, findNode } from './find.ts';
import { addProcessRoute } from './process-routes.ts';
import { dayView, healthView } from './views.ts';

const DEFAULT_PERIOD_MS = 24 * 3_600_000;

export interface HealthRoutesOptions {
  store: ApiStore;
  monitor: HealthMonitor;
  sessions: Pick<Sessions, 'online'>;
  alerts: Pick<Alerts, 'firingOf'>;
  clock: Clock;
  /** What is wrong with the gateway itself. */
  readFaults?(): string[];
  /** Where `limited` begins; the report marks it. */
  limits: ReportLimits;
}

export function addHealthRoutes(app: App, options: HealthRoutesOptions): void {
  const { store, monitor, clock, alerts } = options;
  const read = { config: { action: 'fleet.read' as const } };
  const healthOf = (nodes: readonly NodeRecord[]): HealthView => {
    const view = {
      ...healthView(nodes, monitor),
      alerts: alerts.firingOf(nodes),
      faults: options.readFaults?.() ?? [],
    };
    return view.faults.length === 0 ? view : { ...view, status: 'error' };
  };

  app.get('/v1/health', read, async (request) => {
    const which = queryText(request, 'node');
    if (which === undefined) return healthOf(livingNodes(store));
    const node = findNode(store, which);
    const to = clock.now();
    const report = await gatherReport(options, [node], { from: to - DEFAULT_PERIOD_MS, to });
    const [day] = report.nodes;
    return { ...healthOf([node]), ...(day === undefined ? {} : { day: dayView(day) }) };
  });

  addProcessRoute(app, options);

  /** The finished document; the header `fleet-status` says the overall status, for exit codes. */
  app.get('/v1/health/report', read, async (request, reply) => {
    const from = queryInteger(request, 'since') ?? clock.now() - DEFAULT_PERIOD_MS;
    const { status, contentType, text } = await renderReport(options, queryText(request, 'format') ?? 'text', from);
    return reply.header('fleet-status', status).type(contentType).send(text);
  });
}

/** The finished document on what was from `from`, ms, until now. @throws FleetError `usage`. */
export async function renderReport(
  options: Omit<HealthRoutesOptions, 'alerts' | 'readFaults'>,
  name: string,
  from: number,
): Promise<{ status: string; contentType: string; text: string }> {
  const to = options.clock.now();
  const format = REPORT_FORMATS[name];
  if (format === undefined || !Object.hasOwn(REPORT_FORMATS, name)) {
    throw new FleetError('usage', `there is no report format ${name}`, {
      hint: `The formats: ${Object.keys(REPORT_FORMATS).join(', ')}`,
    });
  }
  if (from >= to) throw new FleetError('usage', 'the report begins in the future');
  const report = await gatherReport(options, livingNodes(options.store), { from, to });
  const text = await joinPieces(format.pieces(report));
  return { status: report.status ?? 'unknown', contentType: format.contentType, text };
}

function livingNodes(store: ApiStore): NodeRecord[] {
  return store.nodes.all().filter((node) => node.revokedAt === null);
}
