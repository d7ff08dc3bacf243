/** What Prometheus is told of alerts: how many of each rule, and whether they get through to anybody. */
import type { AlertFigures } from '../alerts/alert-figures.ts';
import { formatLabels, type GaugeFamily, writeGauges } from './exposition.ts';

const plain = (name: string, help: string): GaugeFamily<number> => ({ name, help, samples: (value) => value });
const ALERTS = plain(
  'fleet_alerts',
  'Alerts that are not over, by rule. Those that are silenced fire, and nobody is told.',
);
const WAITING = plain('fleet_alert_messages_waiting', 'Messages that a receiver has not taken yet.');

/** A few lines for each rule and receiver, however many nodes there are. */
export function writeAlertMetrics({ alerts, waiting }: AlertFigures): string {
  return (
    writeGauges(
      ALERTS,
      alerts.map(({ count, ...labels }) => ({ labels: formatLabels(labels), thing: count })),
    ) +
    writeGauges(
      WAITING,
      waiting.map(({ receiver, count }) => ({ labels: formatLabels({ receiver }), thing: count })),
    )
  );
}

/** Names of all metrics about alerts. */
export const ALERT_METRICS = [ALERTS.name, WAITING.name] as const;
