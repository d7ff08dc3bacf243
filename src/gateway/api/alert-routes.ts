/** Alerts: what fires and fired, silences, and a test of the receivers. */
import { FleetError } from '../../shared/errors.ts';
import { type App, queryInteger, queryText } from '../../shared/http/fastify-app.ts';
import type { Alerts } from '../monitoring/alerts/alerts.ts';
import { silenceView } from '../monitoring/alerts/silences.ts';
import { addRoute } from './route.ts';

const DEFAULT_LIMIT = 100;
const MAX_LIMIT = 10_000;

interface AlertRoutesOptions {
  alerts: Alerts;
}

export function addAlertRoutes(app: App, { alerts }: AlertRoutesOptions): void {
  addRoute(app, 'GET /v1/alerts', (request) => {
    if (queryText(request, 'active') === 'true') return { alerts: alerts.active() };
    const limit = queryInteger(request, 'limit') ?? DEFAULT_LIMIT;
    if (limit < 1 || limit > MAX_LIMIT) {
      throw new FleetError('bad_request', `limit is not from 1 to ${MAX_LIMIT}: ${limit}`);
    }
    return { alerts: alerts.latest(limit) };
  });

  addRoute(app, 'GET /v1/alerts/silences', () => ({ silences: alerts.silences.active().map(silenceView) }));

  addRoute(app, 'POST /v1/alerts/silences', async (request, _reply, input) => {
    const { what, forMs, reason } = input();
    request.act?.note({ what, forMs, reason });
    return await alerts.silences.add(what, forMs, reason ?? null, request.caller.name);
  });

  addRoute(app, 'POST /v1/alerts/unsilence', async (request, _reply, input) => {
    const { what } = input();
    request.act?.note({ what });
    return { silences: await alerts.silences.remove(what) };
  });

  /** Answers when every receiver has taken it, or has not. */
  addRoute(app, 'POST /v1/alerts/test', async (request, _reply, input) => {
    const { receiver } = input();
    request.act?.begins({ receiver });
    const results = await alerts.test(receiver, async () => await request.act?.record());
    const failed = results.flatMap((result) => (result.delivered ? [] : [result.receiver]));
    request.act?.conclude(failed.length === 0 ? 'ok' : 'failed', { failed });
    return { results };
  });
}
