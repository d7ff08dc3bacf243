/** `fleet alerts …`: what is or was wrong, who was notified, and silences. */
import type { AlertView, DeliveryView } from '../../protocol/alerts.ts';
import { formatDuration, formatRelativeTime } from '../../shared/duration.ts';
import { FleetError } from '../../shared/errors.ts';
import { harmlessJson, stripControl } from '../../shared/text.ts';
import { given, parseCount, parsePositiveDuration } from '../args/values.ts';
import { defineCommand, openGateway } from '../context/command.ts';
import { refuseTwoFormats } from '../job/job-options.ts';
import { EXIT_FLEET_FAILED, EXIT_OK } from '../output/exit-code.ts';
import { type OutputPort, printResult } from '../output/print.ts';
import { printTable, type TableCell } from '../output/table.ts';

const list = defineCommand({
  name: 'alerts',
  describe: [
    'Lists current and past alerts, newest first, and who was notified. Rules and receivers are in gateway.alerts of',
    'config.yaml. docs/alerts.md',
  ],
  options: {
    active: { type: 'boolean', describe: 'Only current alerts, worst first' },
    limit: { type: 'string', placeholder: 'N', describe: 'Maximum number of alerts (100)' },
    jsonl: { type: 'boolean', describe: 'Print one JSON object a line' },
  },
  examples: [
    ['fleet alerts --active', 'what is wrong now'],
    ['fleet alerts --jsonl | jq -r \'select(.state=="firing") | .node\'', 'for scripts'],
  ],
  async execute(context, { options }) {
    refuseTwoFormats(context, options.jsonl);
    const limit = parseCount(options.limit, '--limit');
    const alerts = await openGateway(context).alerts(given({ active: options.active || undefined, limit }));
    if (options.jsonl) {
      context.out.write(alerts.map((alert) => `${harmlessJson(alert)}\n`).join(''));
      return EXIT_OK;
    }
    const emptyNote = options.active ? 'Nothing is wrong.' : 'There are no alerts.';
    return printTable(context, alerts, emptyNote, alertColumns(context.out));
  },
});

export const alertColumns = ({ style }: OutputPort) => ({
  ID: ({ id }: AlertView) => id,
  STATE: (alert: AlertView) => paintState(alert, style),
  SEVERITY: ({ severity }: AlertView) => severity,
  RULE: ({ rule }: AlertView) => rule,
  NODE: ({ node }: AlertView) => node,
  SINCE: ({ since }: AlertView, now: number) => formatRelativeTime(since, now),
  NOTIFIED: ({ deliveries }: AlertView) => deliveries.map(describeDelivery).join(', '),
  WHAT: describeAlert,
});

function paintState({ state, severity, silencedUntil }: AlertView, style: OutputPort['style']): TableCell {
  if (state !== 'firing' || silencedUntil !== null) return { text: state, paint: style.dim };
  return { text: state, paint: severity === 'critical' ? style.red : style.yellow };
}

function describeAlert({ summary, silencedUntil, resolvedAt, reason }: AlertView, now: number): string {
  const parts = [summary];
  if (silencedUntil !== null) parts.push(`silenced, ends ${formatRelativeTime(silencedUntil, now)}`);
  if (resolvedAt !== null) parts.push(`resolved ${formatRelativeTime(resolvedAt, now)}`);
  if (reason !== null) parts.push(reason);
  return parts.join('; ');
}

/** `ops` when delivered, `ops: given up (HTTP 404)` when not. */
function describeDelivery({ receiver, event, outcome, error }: DeliveryView): string {
  const what = event === 'resolved' ? `${receiver} (resolved)` : receiver;
  if (outcome === 'delivered') return what;
  const why = error === null ? '' : ` (${error})`;
  return `${what}: ${outcome === 'waiting' ? 'waiting' : 'given up'}${why}`;
}

const silence = defineCommand({
  name: 'alerts silence',
  usage: 'WHAT --for DURATION [--reason TEXT]',
  describe: [
    'Sends no notifications about a rule, a node or one alert for a while. Alerts are still recorded and shown, and health checks',
    'ignore them. Alerts that still fire when the silence ends are then notified.',
  ],
  positionals: [{ name: 'WHAT', describe: 'Name of a rule or node, or id of an alert' }],
  options: {
    for: { type: 'string', placeholder: 'DURATION', describe: 'How long' },
    reason: { type: 'string', placeholder: 'TEXT', describe: 'Reason, shown to others' },
  },
  examples: [
    ["fleet alerts silence node-1 --for 2h --reason 'new disk'", 'one node during maintenance'],
    ['fleet alerts silence flapping --for 1d', 'one rule'],
  ],
  async execute(context, { options, positionals }) {
    if (options.for === undefined) {
      throw new FleetError('usage', 'a silence needs an end', { hint: 'Say how long: --for 2h' });
    }
    const forMs = parsePositiveDuration(options.for, '--for');
    const silence = await openGateway(context).silence({
      what: positionals.WHAT,
      forMs,
      ...given({ reason: options.reason }),
    });
    return printResult(
      context,
      silence,
      ({ kind, what }) => `${kind} ${what}: silenced for ${formatDuration(forMs)}\n`,
    );
  },
});

const unsilence = defineCommand({
  name: 'alerts unsilence',
  describe: 'Ends a silence early.',
  positionals: [{ name: 'WHAT', describe: 'The silenced rule, node or alert, or the id of the silence' }],
  examples: [
    ['fleet alerts unsilence node-1', 'after maintenance'],
    ['fleet alerts unsilence flapping --json', 'for scripts'],
  ],
  async execute(context, { positionals }) {
    const ended = await openGateway(context).unsilence(positionals.WHAT);
    return printResult(context, ended, () =>
      ended.map(({ kind, what }) => `${kind} ${what}: no longer silenced\n`).join(''),
    );
  },
});

const silences = defineCommand({
  name: 'alerts silences',
  describe: 'Lists silences: what, until when, why and by whom.',
  examples: [
    ['fleet alerts silences', 'what is silenced'],
    ["fleet alerts silences --json | jq -r '.[].what'", 'for scripts'],
  ],
  async execute(context) {
    return printTable(context, await openGateway(context).silences(), 'Nothing is silenced.', {
      ID: ({ id }) => id,
      KIND: ({ kind }) => kind,
      WHAT: ({ what }) => what,
      ENDS: ({ until }, now) => formatRelativeTime(until, now),
      BY: ({ by }) => by,
      WHY: ({ reason }) => reason ?? '',
    });
  },
});

const test = defineCommand({
  name: 'alerts test',
  describe: [
    'Sends one test message to each receiver, or to one of them, and shows the result. It is not retried.',
    'Exit code: 0 if all receivers accepted it, else 255.',
  ],
  positionals: [{ name: 'RECEIVER', describe: 'Only this receiver', optional: true }],
  examples: [
    ['fleet alerts test', 'all receivers'],
    ['fleet alerts test ops-chat --json', 'one, for scripts'],
  ],
  async execute(context, { positionals }) {
    const results = await openGateway(context).testAlerts(positionals.RECEIVER);
    printResult(context, results, () =>
      results
        .map(({ receiver, kind, delivered, error, durationMs }) => {
          const what = delivered ? `delivered in ${durationMs} ms` : `NOT delivered: ${error ?? 'unknown'}`;
          return `${stripControl(`${receiver} (${kind}): ${what}`)}\n`;
        })
        .join(''),
    );
    return results.every(({ delivered }) => delivered) ? EXIT_OK : EXIT_FLEET_FAILED;
  },
});

export const commands = [list, silence, unsilence, silences, test];
