/** `fleet health`: how the nodes are now, worst first, with the exit code of a Nagios plugin. */

import type { HealthView } from '../../protocol/views.ts';
import { formatDuration, formatRelativeTime } from '../../shared/duration.ts';
import { stripControl } from '../../shared/strip-control.ts';
import { formatAlerts } from '../alerts/format-alerts.ts';
import { defineCommand } from '../context/command.ts';
import { openGateway } from '../context/open-gateway.ts';
import { formatHealthDay } from '../health/format-health-day.ts';
import { exitCodeOfHealthAndAlerts } from '../health/health-exit-code.ts';
import { processQuery, showProcesses } from '../health/show-processes.ts';
import { unknownWithoutGateway } from '../health/unknown-health.ts';
import type { OutputPort } from '../output/output-port.ts';
import { printJson } from '../output/print.ts';
import { formatTable, tableOptions } from '../output/table.ts';
import { paintStatus } from '../output/terminal-style.ts';

export const healthCommand = defineCommand({
  name: 'health',
  usage: '[NODE]',
  describe: [
    'Shows how the nodes are now, one line a node, the worst first; of a single node also how it was over the last 24 hours.',
    'LINK and MACHINE are scores from 0 to 100: docs/health.md tells how.',
    'Exit code, as Nagios has it: 0 all well, 1 limited or a warning fires, 2 error, offline or a critical alert fires, 3 unknown.',
  ].join('\n'),
  positionals: [{ name: 'NODE', describe: 'Only this one', optional: true }],
  options: {
    processes: {
      type: 'boolean',
      describe: 'What uses NODE right now: its processes, asked of it, names without arguments',
    },
    sort: { type: 'string', describe: 'Of --processes, what counts (cpu)', choices: ['cpu', 'mem'] },
    limit: { type: 'string', placeholder: 'N', describe: 'Of --processes, at most so many (10; 50 at most)' },
  },
  examples: [
    ['fleet health', 'all nodes'],
    ['fleet health node-1 --json | jq -r .status', 'one, for scripts'],
    ['fleet health node-1 --processes --sort mem', 'what fills its memory'],
  ],
  async execute(context, { positionals, options }) {
    const query = processQuery(positionals.NODE, options);
    return await unknownWithoutGateway(context, async () => {
      if (options.processes && positionals.NODE !== undefined) {
        return await showProcesses(context, positionals.NODE, query);
      }
      const view = await openGateway(context).health(positionals.NODE);
      const faults = view.faults ?? [];
      if (!context.json)
        for (const fault of faults) context.out.write(`FAULT of the gateway: ${stripControl(fault)}\n`);
      if (context.json) printJson(context, view);
      else if (view.nodes.length === 0)
        context.err.write('There are no nodes yet. Make a code for one: fleet invite\n');
      else {
        context.out.write(formatHealth(view, context.clock.now(), context.out));
        if (view.alerts.length > 0) {
          context.out.write(`\n${formatAlerts(view.alerts, context.clock.now(), context.out)}`);
        }
        const width = context.out.size()?.columns;
        if (view.day !== undefined) context.out.write(`\n${formatHealthDay(view.day, context.clock.now(), width)}`);
      }
      return exitCodeOfHealthAndAlerts(view.status, view.alerts);
    });
  },
});

const COLUMNS = [
  { header: 'NAME' },
  { header: 'STATUS' },
  { header: 'CPU', align: 'right' },
  { header: 'LOAD', align: 'right' },
  { header: 'MEM', align: 'right' },
  { header: 'DISK', align: 'right' },
  { header: 'RTT', align: 'right' },
  { header: 'LINK', align: 'right' },
  { header: 'MACHINE', align: 'right' },
  { header: 'UP', align: 'right' },
  { header: 'LAST SEEN' },
  { header: 'WHY' },
] as const;

function formatHealth({ nodes }: HealthView, now: number, out: OutputPort): string {
  const rows = nodes.map((node) => [
    node.name,
    paintStatus(node.status, out.style),
    percent(node.cpuPct),
    node.load1 === null ? '' : node.load1.toFixed(2),
    percent(node.memUsedPct),
    percent(node.diskUsedPct),
    node.rttMs === null ? '' : `${node.rttMs < 10 ? node.rttMs.toFixed(1) : Math.round(node.rttMs)} ms`,
    node.linkScore === null ? '' : String(node.linkScore),
    node.machineScore === null ? '' : String(node.machineScore),
    node.uptimeS === null ? '' : formatDuration(node.uptimeS * 1000),
    formatRelativeTime(node.lastSeenAt, now),
    node.reasons.join(', '),
  ]);
  return formatTable(COLUMNS, rows, tableOptions(out));
}

function percent(value: number | null): string {
  return value === null ? '' : `${Math.round(value)} %`;
}
