/** Alerts: what fires and fired, silences, and a test of the receivers. */
import { alertTestRequest, silenceRequest, unsilenceRequest } from '../../protocol/alerts.ts';
import { FleetError } from '../../shared/errors.ts';
import { type App, parseInput, queryInteger, queryText } from '../../shared/http/fastify-app.ts';
import type { Alerts } from '../monitoring/alerts/alerts.ts';
import { silenceView } from '../monitoring/alerts/silences.ts';

const DEFAULT_LIMIT = 100;
const MAX_LIMIT = 10_000;

interface AlertRoutesOptions {
  alerts: Alerts;
}

export function addAlertRoutes(app: App, { alerts }: AlertRoutesOptions): void {
  const read = { config: { action: 'fleet.read' as const } };
  const manage = (audit: string) => ({ config: { action: 'alerts.manage' as const, audit } });

  app.get('/v1/alerts', read, (request) => {
    if (queryText(request, 'active') === 'true') return { alerts: alerts.active() };
    const limit = queryInteger(request, 'limit') ?? DEFAULT_LIMIT;
    if (limit < 1 || limit > MAX_LIMIT) {
      throw new FleetError('bad_request', `limit is not from 1 to ${MAX_LIMIT}: ${limit}`);
    }
    return { alerts: alerts.latest(limit) };
  });

  app.get('/v1/alerts/silences', read, () => ({ silences: alerts.silences.active().map(silenceView) }));

  app.post('/v1/alerts/silences', manage('alert.silence'), async (request) => {
    const { what, forMs, reason } = parseInput(silenceRequest, request.body);
    request.act?.note({ what, forMs, reason });
    return await alerts.silences.add(what, forMs, reason ?? null, request.caller.name);
  });

  app.post('/v1/alerts/unsilence', manage('alert.unsilence'), async (request) => {
    const { what } = parseInput(unsilenceRequest, request.body);
    request.act?.note({ what });
    return { silences: await alerts.silences.remove(what) };
  });

  /** Answers when every receiver has taken it, or has not. */
  app.post('/v1/alerts/test', manage('alert.test'), async (request) => {
    const { receiver } = parseInput(alertTestRequest, request.body);
    request.act?.begins({ receiver });
    const results = await alerts.test(receiver, async () => await request.act?.record());
    const failed = results.flatMap((result) => (result.delivered ? [] : [result.receiver]));
    request.act?.conclude(failed.length === 0 ? 'ok' : 'failed', { failed });
    return { results };
  });
}
