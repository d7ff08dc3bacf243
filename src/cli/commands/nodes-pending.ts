/** `fleet nodes pending`: machines that ask to join without an invite, and nodes that ask for other labels or capabilities. */
import type { PendingView } from '../../protocol/views.ts';
import { formatRelativeTime } from '../../shared/duration.ts';
import { formatClaim } from '../args/values.ts';
import { defineCommand } from '../context/command.ts';
import { openGateway } from '../context/open-gateway.ts';
import { EXIT_OK } from '../output/exit-code.ts';
import { printJson } from '../output/print.ts';
import { formatTable, tableOptions } from '../output/table.ts';

export const nodesPendingCommand = defineCommand({
  name: 'nodes pending',
  usage: '',
  describe: [
    'Lists the machines that wait for approval, and the labels and capabilities that nodes ask for since they joined.',
    'Approve a machine only if it shows the same code as this list.',
  ].join('\n'),
  positionals: [],
  options: {},
  examples: [
    ['fleet nodes pending', 'who waits'],
    ["fleet nodes pending --json | jq -r '.[].code'", 'for scripts'],
  ],
  async execute(context) {
    const pending = await openGateway(context).pending();
    if (context.json) printJson(context, pending);
    else if (pending.length === 0) context.err.write('Nothing waits for approval.\n');
    else {
      const now = context.clock.now();
      const columns = ['CODE', 'NAME', 'ADDRESS', 'SYSTEM', 'ASKED', 'WANTS'].map((header) => ({ header }));
      const rows = pending.map((one) => [
        one.code,
        one.name,
        one.address,
        `${one.os} ${one.arch}`,
        formatRelativeTime(one.since, now),
        describeWish(one),
      ]);
      context.out.write(formatTable(columns, rows, tableOptions(context.out)));
    }
    return EXIT_OK;
  },
});

/** `to join, with role=db`, or what would change. */
export function describeWish({ change, labels }: PendingView): string {
  if (change !== undefined) return formatClaim(change);
  const own = formatClaim({ labels, capabilities: [] });
  return own === '' ? 'to join' : `to join, with ${own}`;
}
