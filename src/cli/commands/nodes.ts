/** `fleet nodes`: the table of all nodes. */

import { NODE_STATUSES } from '../../protocol/node-status.ts';
import type { NodeView } from '../../protocol/views.ts';
import { formatRelativeTime } from '../../shared/duration.ts';
import { formatLabels, parsePairs } from '../args/values.ts';
import { defineCommand } from '../context/command.ts';
import { openGateway } from '../context/open-gateway.ts';
import { EXIT_OK } from '../output/exit-code.ts';
import type { OutputPort } from '../output/output-port.ts';
import { printJson } from '../output/print.ts';
import { formatTable, tableOptions } from '../output/table.ts';
import { paintStatus } from '../output/terminal-style.ts';

export const nodesCommand = defineCommand({
  name: 'nodes',
  usage: '[OPTIONS]',
  describe: 'Lists the nodes: status, when last seen, round trip, labels and version.',
  positionals: [],
  options: {
    label: { type: 'list', placeholder: 'K=V', describe: 'Only those with this label; may be given more than once' },
    status: { type: 'string', describe: 'Only those with this status', choices: [...NODE_STATUSES, 'revoked'] },
  },
  examples: [
    ['fleet nodes', 'all of them'],
    ['fleet nodes --label site=berlin --status offline', 'what is missing in Berlin'],
    ["fleet nodes --json | jq -r '.[].name'", 'for scripts'],
  ],
  async execute(context, { options }) {
    const labels = Object.entries(parsePairs(options.label, '--label'));
    const all = await openGateway(context).nodes();
    const nodes = all.filter(
      (node) =>
        (options.status === undefined || node.status === options.status) &&
        labels.every(([key, value]) => node.labels[key] === value),
    );
    if (context.json) {
      printJson(context, nodes);
      return EXIT_OK;
    }
    if (all.length === 0) context.err.write('There are no nodes yet. Make a code for one: fleet invite\n');
    else if (nodes.length === 0) context.err.write('No node is like that.\n');
    else context.out.write(formatNodes(nodes, context.clock.now(), context.out));
    return EXIT_OK;
  },
});

function formatNodes(nodes: readonly NodeView[], now: number, out: OutputPort): string {
  const columns = [
    { header: 'NAME' },
    { header: 'STATUS' },
    { header: 'LAST SEEN' },
    { header: 'RTT', align: 'right' },
    { header: 'LABELS' },
    { header: 'VERSION' },
  ] as const;
  const rows = nodes.map((node) => [
    node.name,
    paintStatus(node.status, out.style),
    formatRelativeTime(node.lastSeenAt, now),
    node.rttMs === null ? '' : `${node.rttMs < 10 ? node.rttMs.toFixed(1) : Math.round(node.rttMs)} ms`,
    formatLabels(node.labels),
    node.agentVersion ?? '',
  ]);
  return formatTable(columns, rows, tableOptions(out));
}
