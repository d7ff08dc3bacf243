/** `GET /metrics`: everything for Prometheus, in the format that it asks for. */

import type { App } from '../../shared/http/fastify-app.ts';
import type { Alerts } from '../monitoring/alerts/alerts.ts';
import {
  CONTENT_TYPES,
  type GatewayFigures,
  type GatewayMetrics,
  type MetricsFormat,
} from '../monitoring/metrics/gateway-metrics.ts';
import { type NodeMetricsSources, writeAlertMetrics, writeNodeMetrics } from '../monitoring/metrics/node-metrics.ts';
import { addRoute } from './route.ts';

interface MetricsRoutesOptions extends NodeMetricsSources {
  metrics: GatewayMetrics;
  alerts: Pick<Alerts, 'figures'>;
  readFigures(): GatewayFigures;
}

export function addMetricsRoutes(app: App, options: MetricsRoutesOptions): void {
  addRoute(app, 'GET /metrics', async (request, reply) => {
    const format = negotiateFormat(request.headers.accept);
    const own = await options.metrics.write(format, options.readFigures());
    const nodes = await writeNodeMetrics(options);
    const alerts = writeAlertMetrics(options.alerts.figures());
    const end = format === 'openmetrics' ? '# EOF\n' : '';
    return reply
      .header('content-type', CONTENT_TYPES[format])
      .header('vary', 'accept')
      .send(own + nodes + alerts + end);
  });
}

/** OpenMetrics for who prefers it (RFC 9110, 12.5.1), else the text format that everybody reads. */
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
