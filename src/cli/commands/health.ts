/** `fleet health …`: node health now and over a period, with the exit codes of Nagios plugins. */
import { pipeline } from 'node:stream/promises';
import type { AlertView } from '../../protocol/alerts.ts';
import type { ProcessesQuery, ProcessesView, ProcessSort } from '../../protocol/node-messages.ts';
import type { HealthDayView, HealthView } from '../../protocol/views.ts';
import { formatDuration, formatRelativeTime } from '../../shared/duration.ts';
import { FleetError, toFleetError } from '../../shared/errors.ts';
import { connectionError } from '../../shared/http/request.ts';
import { stripControl, stripControlInLines } from '../../shared/text.ts';
import { writeAtomically } from '../../shared/write-file.ts';
import { given, parseCount, parsePositiveDuration } from '../args/values.ts';
import { type CliContext, defineCommand, openGateway } from '../context/command.ts';
import { EXIT_FLEET_FAILED, EXIT_OK, exitCodeOfError } from '../output/exit-code.ts';
import {
  formatBytes,
  formatMs,
  formatPercent,
  type OutputPort,
  paintStatus,
  printError,
  printJson,
  printResult,
  sparkline,
} from '../output/print.ts';
import { formatFacts, formatTable, right, tableOf } from '../output/table.ts';
import { alertColumns } from './alerts.ts';
import { NO_NODES } from './nodes.ts';

const EXIT_HEALTH_UNKNOWN = 3;

const health = defineCommand({
  name: 'health',
  usage: '[NODE]',
  describe: [
    'Shows the health of the nodes, one line a node, worst first; for a single node also its last 24 hours.',
    'LINK and MACHINE are scores from 0 to 100: docs/health.md explains them.',
    'Exit code, as Nagios defines it: 0 all well, 1 limited or a warning fires, 2 error, offline or a critical alert fires, 3 unknown.',
  ],
  positionals: [{ name: 'NODE', describe: 'Only this node', optional: true }],
  options: {
    processes: { type: 'boolean', describe: 'Show what uses NODE right now: its processes, without their arguments' },
    sort: { type: 'string', describe: 'With --processes: sort by (cpu)', choices: ['cpu', 'mem'] },
    limit: { type: 'string', placeholder: 'N', describe: 'With --processes: maximum number (10; at most 50)' },
  },
  examples: [
    ['fleet health', 'all nodes'],
    ['fleet health node-1 --json | jq -r .status', 'one, for scripts'],
    ['fleet health node-1 --processes --sort mem', 'what uses its memory'],
  ],
  async execute(context, { positionals, options }) {
    const query = processQuery(positionals.NODE, options);
    return await unknownWithoutGateway(context, async () => {
      const client = openGateway(context);
      if (options.processes && positionals.NODE !== undefined) {
        const processes = await client.processes(positionals.NODE, query);
        return printResult(context, processes, (view) => formatProcesses(view, context.out));
      }
      const view = await client.health(positionals.NODE);
      if (context.json) printJson(context, view);
      else printHealth(context, view);
      return exitCodeOfHealthAndAlerts(view.status, view.alerts);
    });
  },
});

function printHealth({ out, err, clock }: CliContext, { nodes, alerts, day, faults = [] }: HealthView): void {
  for (const fault of faults) out.write(`FAULT of the gateway: ${stripControl(fault)}\n`);
  if (nodes.length === 0) {
    err.write(`${NO_NODES}\n`);
    return;
  }
  const now = clock.now();
  out.write(tableOf(nodes, healthColumns(out), now, out));
  if (alerts.length > 0) out.write(`\n${tableOf(alerts, alertColumns(out), now, out)}`);
  if (day !== undefined) out.write(`\n${formatHealthDay(day, now, out.size()?.columns)}`);
}

type HealthNode = HealthView['nodes'][number];

const healthColumns = ({ style }: OutputPort) => ({
  NAME: ({ name }: HealthNode) => name,
  STATUS: ({ status }: HealthNode) => paintStatus(status, style),
  CPU: { right: ({ cpuPct }: HealthNode) => formatPercent(cpuPct) },
  LOAD: { right: ({ load1 }: HealthNode) => load1?.toFixed(2) ?? '' },
  MEM: { right: ({ memUsedPct }: HealthNode) => formatPercent(memUsedPct) },
  DISK: { right: ({ diskUsedPct }: HealthNode) => formatPercent(diskUsedPct) },
  RTT: { right: ({ rttMs }: HealthNode) => formatMs(rttMs) },
  LINK: { right: ({ linkScore }: HealthNode) => String(linkScore ?? '') },
  MACHINE: { right: ({ machineScore }: HealthNode) => String(machineScore ?? '') },
  UP: { right: ({ uptimeS }: HealthNode) => (uptimeS === null ? '' : formatDuration(uptimeS * 1000)) },
  'LAST SEEN': ({ lastSeenAt }: HealthNode, now: number) => formatRelativeTime(lastSeenAt, now),
  WHY: ({ reasons }: HealthNode) => reasons.join(', '),
});

const report = defineCommand({
  name: 'health report',
  describe: [
    'Reports node health over a period. The file of --out is replaced atomically.',
    'Exit code, as Nagios defines it: 0 all well, 1 limited, 2 error or offline, 3 unknown.',
  ],
  options: {
    since: { type: 'string', placeholder: 'DURATION', describe: 'Length of the period (24h)' },
    format: { type: 'string', describe: 'Format (text)', choices: ['text', 'json', 'md', 'html', 'csv'] },
    out: { type: 'string', placeholder: 'FILE', describe: 'Write to this file instead of stdout' },
    'exit-zero': { type: 'boolean', describe: 'Exit with 0 whatever the health' },
  },
  examples: [
    ['fleet health report', 'the last 24 hours'],
    ['fleet health report --since 7d --format html --out /var/www/fleet.html', 'in a crontab'],
  ],
  async execute(context, { options }) {
    const periodMs = parsePositiveDuration(options.since ?? '24h', '--since');
    const format = options.format ?? (context.json ? 'json' : 'text');
    return await unknownWithoutGateway(context, async () => {
      const since = context.clock.now() - periodMs;
      const { status, body } = await openGateway(context).healthReport({ since, format });
      if (options.out !== undefined) {
        await writeAtomically(options.out, body).catch((error: unknown) => Promise.reject(connectionError(error)));
      } else {
        await pipeline(body, async (chunks: AsyncIterable<Buffer>) => {
          const decoder = new TextDecoder();
          for await (const chunk of chunks) {
            context.out.write(stripControlInLines(decoder.decode(chunk, { stream: true })));
            await context.out.ready();
          }
        });
      }
      return options['exit-zero'] ? EXIT_OK : exitCodeOfHealth(status);
    });
  },
});

/** Health checks exit with "unknown" where other commands say that the fleet failed. @throws FleetError for a mistake of the caller. */
async function unknownWithoutGateway(context: CliContext, check: () => Promise<number>): Promise<number> {
  try {
    return await check();
  } catch (error) {
    const failure = toFleetError(error);
    const isUnknown = failure.code === 'storage_corrupt' || exitCodeOfError(failure.code) === EXIT_FLEET_FAILED;
    if (failure.code === 'storage_failed' || !isUnknown) throw failure;
    printError(failure, { ...context, debug: false });
    return EXIT_HEALTH_UNKNOWN;
  }
}

/** The worse of the status and of the firing alerts that are not silenced. */
function exitCodeOfHealthAndAlerts(
  status: string,
  alerts: readonly Pick<AlertView, 'severity' | 'silencedUntil'>[],
): number {
  const code = exitCodeOfHealth(status);
  if (code === EXIT_HEALTH_UNKNOWN) return code;
  const active = alerts.filter(({ silencedUntil }) => silencedUntil === null);
  return Math.max(code, ...active.map(({ severity }) => (severity === 'critical' ? 2 : 1)));
}

/** CLI.md, "Exit codes". 3 for anything else: no nodes, no gateway, a status of a later version. */
function exitCodeOfHealth(status: string): number {
  return { online: 0, limited: 1, error: 2, offline: 2 }[status] ?? EXIT_HEALTH_UNKNOWN;
}

/** The latest are enough for a node that connects and disconnects all day. */
const MAX_INCIDENTS = 5;
/** A chart has at least this many values. */
const MIN_CHART = 8;
/** Columns beside a chart: the longest name, and the gaps around the chart. */
const MARGIN = 'last 24 hours:'.length + 4;

/** At most `columns` wide, if that leaves room for charts of the latest hours. */
function formatHealthDay(day: HealthDayView, now: number, columns = Number.POSITIVE_INFINITY): string {
  const { cpuPct, memUsedPct, diskUsedPct, rttMs, series } = day;
  const percent = (value: number): string => `${value.toFixed(0)} %`;
  const charts = [
    { name: 'online', values: series.onlinePct, scale: 100, words: '' },
    { name: 'cpu', values: series.cpuPct, scale: 100, words: describeFigures(cpuPct, percent) },
    { name: 'memory', values: series.memUsedPct, scale: 100, words: describeFigures(memUsedPct, percent) },
    { name: 'disk', values: series.diskUsedPct, scale: 100, words: describeFigures(diskUsedPct, percent) },
    { name: 'round trip', values: series.rttMs, scale: rttMs?.max ?? 0, words: describeFigures(rttMs, formatMs) },
  ];
  const longest = Math.max(...charts.map(({ words }) => words?.length ?? 0));
  const room = Math.max(MIN_CHART, columns - MARGIN - longest);
  const incidents = day.incidents.slice(-MAX_INCIDENTS).map(({ status, start, end, durationMs, reasons }) => {
    const length = end === null ? 'ongoing' : `for ${formatDuration(durationMs)}`;
    return [status, [formatRelativeTime(start, now), length, ...reasons].join(', ')] as const;
  });
  const forecasts = day.forecasts.map(({ mount, fullInMs, risePctPerDay }) => {
    const when = `${mount} in ${formatDuration(fullInMs)} (rising ${risePctPerDay.toFixed(1)} % a day)`;
    return ['will be full', when] as const;
  });
  return formatFacts([
    ['last 24 hours', describeUptime(day)],
    ...charts.map(({ name, values, scale, words }) => {
      const chart = sparkline(values.slice(-Math.min(room, values.length)), scale);
      return [name, words === null ? '' : `${chart}  ${words}`.trimEnd()] as const;
    }),
    ...forecasts,
    ...incidents,
  ]);
}

function describeFigures(figures: HealthDayView['cpuPct'], format: (value: number) => string): string | null {
  if (figures === null) return null;
  return `mean ${format(figures.avg)}, 95 % below ${format(figures.p95)}, max ${format(figures.max)}`;
}

function describeUptime({ uptimePct, outages }: HealthDayView): string {
  if (uptimePct === null) return 'never connected';
  // Rounded down, so that only a node that was never offline shows 100.
  const uptime = uptimePct === 100 ? '100' : (Math.floor(uptimePct * 100) / 100).toFixed(2);
  return `uptime ${uptime} %, ${outages === 1 ? '1 outage' : `${outages} outages`}`;
}

/** @throws FleetError `usage` if options need `--processes`, or it needs a node. */
function processQuery(
  node: string | undefined,
  { processes, sort, limit }: { processes: boolean; sort: string | undefined; limit: string | undefined },
): Partial<ProcessesQuery> {
  if (!processes && (sort !== undefined || limit !== undefined)) {
    throw new FleetError('usage', '--sort and --limit require --processes', {
      hint: 'For example: fleet health NODE --processes --sort mem',
    });
  }
  if (processes && node === undefined) {
    throw new FleetError('usage', '--processes requires a node', {
      hint: 'For example: fleet health NODE --processes',
    });
  }
  return given({ limit: parseCount(limit, '--limit'), sort: sort as ProcessSort | undefined });
}

function formatProcesses({ processes }: ProcessesView, out: OutputPort): string {
  return formatTable(
    [right('PID'), 'USER', right('CPU'), right('MEM'), right('RSS'), 'COMMAND'],
    processes.map(({ pid, user, cpuPct, memPct, rssBytes, command }) => [
      ...[String(pid), user ?? '', `${cpuPct.toFixed(1)} %`, `${memPct.toFixed(1)} %`],
      ...[formatBytes(rssBytes), command],
    ]),
    out,
  );
}

export const commands = [health, report];
