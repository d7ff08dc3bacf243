/** Health now, and as a report over a period. */
import { type ProcessesView, processesAnswer, processesQuery } from '../../protocol/node-messages.ts';
import type { HealthView } from '../../protocol/views.ts';
import type { Clock } from '../../shared/clock.ts';
import { FleetError, toFleetError } from '../../shared/errors.ts';
import { type App, parseInput, queryInteger, queryText } from '../../shared/http/fastify-app.ts';
import { requestJson } from '../../shared/http/request.ts';
import { nodePeer } from '../bus/node-client.ts';
import type { Alerts } from '../monitoring/alerts/alerts.ts';
import type { HealthMonitor } from '../monitoring/judge/monitor.ts';
import { joinPieces, REPORT_FORMATS } from '../monitoring/report/formats.ts';
import { gatherReport } from '../monitoring/report/gather.ts';
import type { ReportLimits } from '../monitoring/report/model.ts';
import type { NodeRecord } from '../nodes/nodes-table.ts';
import type { Sessions } from '../nodes/sessions.ts';
import { type ApiStore, findNode } from './find.ts';
import { addRoute } from './route.ts';
import { dayView, healthView } from './views.ts';

const DEFAULT_PERIOD_MS = 24 * 3_600_000;

interface HealthRoutesOptions {
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
  const healthOf = (nodes: readonly NodeRecord[]): HealthView => {
    const view = {
      ...healthView(nodes, monitor),
      alerts: alerts.firingOf(nodes),
      faults: options.readFaults?.() ?? [],
    };
    return view.faults.length === 0 ? view : { ...view, status: 'error' };
  };

  addRoute(app, 'GET /v1/health', async (request) => {
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
  addRoute(app, 'GET /v1/health/report', async (request, reply) => {
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

/** What runs on a node right now, asked of the node itself: it is not part of a heartbeat, and not stored. */
interface ProcessRouteOptions {
  store: ApiStore;
  sessions: Pick<Sessions, 'online'>;
}

function addProcessRoute(app: App, { store, sessions }: ProcessRouteOptions): void {
  addRoute(app, 'GET /v1/nodes/:node/processes', async (request): Promise<ProcessesView> => {
    const { limit, sort } = parseInput(processesQuery, request.query, 'the query');
    const { id, name } = findNode(store, (request.params as { node: string }).node);
    const session = sessions.online(id);
    if (session === undefined) {
      throw new FleetError('node_offline', `${name} is offline, so it cannot be asked for its processes`, {
        hint: `See since when: fleet nodes show ${name}`,
      });
    }
    const path = `/v1/processes?limit=${limit}&sort=${sort}`;
    const question = { agent: session.agent, method: 'GET', path, peer: nodePeer(name) } as const;
    const { processes } = await requestJson(question, processesAnswer).catch((error: unknown) => {
      const failure = toFleetError(error);
      // The only thing that this request can miss is the route itself.
      throw failure.code === 'not_found' ? tooOld(name, failure) : failure;
    });
    return { node: name, processes };
  });
}

function tooOld(name: string, cause: FleetError): FleetError {
  return new FleetError('protocol_unsupported', `the fleet on ${name} is too old to tell its processes`, {
    hint: `Update fleet there, or look with: fleet run ${name} ps aux`,
    cause,
  });
}
