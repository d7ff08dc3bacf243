/** Health, reports, alerts, metrics, and the processes of a node. */
import { processesAnswer } from '../../protocol/node-messages.ts';
import type { HealthView } from '../../protocol/views.ts';
import { FleetError, toFleetError } from '../../shared/errors.ts';
import { requestJson } from '../../shared/http/request.ts';
import { nodePeer } from '../bus/node-client.ts';
import { silenceView } from '../monitoring/alerts/silences.ts';
import { CONTENT_TYPES, type MetricsFormat } from '../monitoring/metrics/gateway-metrics.ts';
import { writeAlertMetrics, writeNodeMetrics } from '../monitoring/metrics/node-metrics.ts';
import { joinPieces, REPORT_FORMATS } from '../monitoring/report/formats.ts';
import { gatherReport } from '../monitoring/report/gather.ts';
import type { NodeRecord } from '../nodes/nodes-table.ts';
import { type ApiStore, findNode } from './find.ts';
import type { ApiContext, Handlers } from './route.ts';
import { dayView, healthView } from './views.ts';

const DEFAULT_PERIOD_MS = 24 * 3_600_000;
const DEFAULT_ALERTS = 100;
const MAX_ALERTS = 10_000;

export function healthRoutes(context: ApiContext) {
  const { store, monitor, sessions, clock, alerts } = context;
  const healthOf = (nodes: readonly NodeRecord[]): HealthView => {
    const view = { ...healthView(nodes, monitor), alerts: alerts.firingOf(nodes), faults: context.faults() };
    return view.faults.length === 0 ? view : { ...view, status: 'error' };
  };

  return {
    'GET /v1/health': async ({ query }) => {
      if (query.node === undefined) return healthOf(livingNodes(store));
      const node = findNode(store, query.node);
      const to = clock.now();
      const report = await gatherReport(context, [node], { from: to - DEFAULT_PERIOD_MS, to });
      const [day] = report.nodes;
      return { ...healthOf([node]), ...(day === undefined ? {} : { day: dayView(day) }) };
    },

    /** The finished document; the header `fleet-status` has the overall status, for exit codes. */
    'GET /v1/health/report': async ({ query }, reply) => {
      const from = query.since ?? clock.now() - DEFAULT_PERIOD_MS;
      const { status, contentType, text } = await renderReport(context, query.format ?? 'text', from);
      return reply.header('fleet-status', status).type(contentType).send(text);
    },

    /** Asks the node itself: the list of processes is not part of a heartbeat, and not stored. */
    'GET /v1/nodes/:node/processes': async (request) => {
      const { limit, sort } = request.query;
      const { id, name } = findNode(store, request.params.node);
      const session = sessions.online(id);
      if (session === undefined) {
        throw new FleetError('node_offline', `${name} is offline and cannot list its processes`, {
          hint: `See since when: fleet nodes show ${name}`,
        });
      }
      const path = `/v1/processes?limit=${limit}&sort=${sort}`;
      const question = { agent: session.agent, method: 'GET', path, peer: nodePeer(name) } as const;
      const { processes } = await requestJson(question, processesAnswer).catch((error: unknown) => {
        const failure = toFleetError(error);
        // Only the route itself can be missing.
        throw failure.code === 'not_found' ? tooOld(name, failure) : failure;
      });
      return { node: name, processes };
    },
  } satisfies Partial<Handlers>;
}

/** A report on the time from `from`, ms, until now. @throws FleetError `usage`. */
export async function renderReport(
  context: Pick<ApiContext, 'store' | 'monitor' | 'limits' | 'clock'>,
  name: string,
  from: number,
): Promise<{ status: string; contentType: string; text: string }> {
  const to = context.clock.now();
  const format = REPORT_FORMATS[name];
  if (format === undefined || !Object.hasOwn(REPORT_FORMATS, name)) {
    throw new FleetError('usage', `there is no report format ${name}`, {
      hint: `The formats: ${Object.keys(REPORT_FORMATS).join(', ')}`,
    });
  }
  if (from >= to) throw new FleetError('usage', 'the report begins in the future');
  const report = await gatherReport(context, livingNodes(context.store), { from, to });
  const text = await joinPieces(format.pieces(report));
  return { status: report.status ?? 'unknown', contentType: format.contentType, text };
}

function livingNodes(store: Pick<ApiStore, 'nodes'>): NodeRecord[] {
  return store.nodes.all().filter((node) => node.revokedAt === null);
}

function tooOld(name: string, cause: FleetError): FleetError {
  return new FleetError('protocol_unsupported', `the fleet on ${name} is too old to list its processes`, {
    hint: `Update fleet there, or use: fleet run ${name} ps aux`,
    cause,
  });
}

export function alertRoutes({ alerts }: ApiContext) {
  return {
    'GET /v1/alerts': ({ query: { active, limit = DEFAULT_ALERTS } }) => {
      if (active) return { alerts: alerts.active() };
      if (limit < 1 || limit > MAX_ALERTS) {
        throw new FleetError('bad_request', `limit must be between 1 and ${MAX_ALERTS}: ${limit}`);
      }
      return { alerts: alerts.latest(limit) };
    },

    'GET /v1/alerts/silences': () => ({ silences: alerts.silences.active().map(silenceView) }),

    'POST /v1/alerts/silences': async ({ body, act, caller }) => {
      const { what, forMs, reason } = body;
      act?.note({ what, forMs, reason });
      return await alerts.silences.add(what, forMs, reason ?? null, caller.name);
    },

    'POST /v1/alerts/unsilence': async ({ body, act }) => {
      act?.note(body);
      return { silences: await alerts.silences.remove(body.what) };
    },

    /** Answers once every receiver has accepted the message or failed. */
    'POST /v1/alerts/test': async ({ body: { receiver }, act }) => {
      act?.begins({ receiver });
      const results = await alerts.test(receiver, async () => await act?.record());
      const failed = results.flatMap((result) => (result.delivered ? [] : [result.receiver]));
      act?.conclude(failed.length === 0 ? 'ok' : 'failed', { failed });
      return { results };
    },
  } satisfies Partial<Handlers>;
}

/** Everything for Prometheus, in the format that it prefers. */
export function metricsRoutes(context: ApiContext) {
  return {
    'GET /metrics': async ({ raw }, reply) => {
      const format = negotiateFormat(raw.headers.accept);
      const own = await context.metrics.write(format, context.figures());
      const nodes = await writeNodeMetrics(context);
      const alerts = writeAlertMetrics(context.alerts.figures());
      const end = format === 'openmetrics' ? '# EOF\n' : '';
      return reply
        .header('content-type', CONTENT_TYPES[format])
        .header('vary', 'accept')
        .send(own + nodes + alerts + end);
    },
  } satisfies Partial<Handlers>;
}

/** OpenMetrics for a client that prefers it (RFC 9110, 12.5.1), otherwise the text format that every client reads. */
export function negotiateFormat(accept: string | undefined): MetricsFormat {
  let openmetrics = 0;
  let text = 0;
  for (const range of accept?.split(',') ?? []) {
    const [type = '', ...parameters] = range.split(';').map((part) => part.trim().toLowerCase());
    const version = parameterOf(parameters, 'version');
    const quality = Number(parameterOf(parameters, 'q') ?? 1);
    if (type === 'application/openmetrics-text' && (version === undefined || version === '1.0.0')) {
      openmetrics = Math.max(openmetrics, quality);
    } else if (type === 'text/plain') text = Math.max(text, quality);
  }
  return openmetrics > 0 && openmetrics >= text ? 'openmetrics' : 'text';
}

function parameterOf(parameters: readonly string[], name: string): string | undefined {
  return parameters.find((parameter) => parameter.startsWith(`${name}=`))?.slice(name.length + 1);
}
