/** `fleet nodes pending`: machines that ask to join without an invite. */
import { defineCommand } from '../command.ts';
import { openGateway, printJson } from '../context.ts';
import { EXIT_OK } from '../exit-code.ts';
import { formatRelativeTime } from '../output/relative-time.ts';
import { formatTable } from '../output/table.ts';

export const nodesPendingCommand = defineCommand({
  name: 'nodes pending',
  usage: '',
  describe: 'Lists the machines that wait for approval. Approve one only if it shows the same code as this list.',
  positionals: [],
  options: {},
  examples: [
    ['fleet nodes pending', 'who waits'],
    ["fleet nodes pending --json | jq -r '.[].code'", 'for scripts'],
  ],
  async execute(context) {
    const pending = await openGateway(context).pending();
    if (context.json) printJson(context, pending);
    else if (pending.length === 0) context.err.write('No machine waits for approval.\n');
    else {
      const now = context.clock.now();
      const columns = ['CODE', 'NAME', 'ADDRESS', 'SYSTEM', 'ASKED'].map((header) => ({ header }));
      const rows = pending.map((one) => [
        one.code,
        one.name,
        one.address,
        `${one.os} ${one.arch}`,
        formatRelativeTime(Date.parse(one.since), now),
      ]);
      context.out.write(formatTable(columns, rows, { paintHeader: context.out.style.bold }));
    }
    return EXIT_OK;
  },
});
