/** `fleet alerts silences`: what nobody is told of now. */

import { formatRelativeTime } from '../../shared/duration.ts';
import { defineCommand } from '../context/command.ts';
import { openGateway } from '../context/open-gateway.ts';
import { EXIT_OK } from '../output/exit-code.ts';
import { printJson } from '../output/print.ts';
import { formatTable, tableOptions } from '../output/table.ts';

export const alertsSilencesCommand = defineCommand({
  name: 'alerts silences',
  usage: '',
  describe: 'Lists what is silenced, until when, why and by whom.',
  positionals: [],
  options: {},
  examples: [
    ['fleet alerts silences', 'what is silenced'],
    ["fleet alerts silences --json | jq -r '.[].what'", 'for scripts'],
  ],
  async execute(context) {
    const silences = await openGateway(context).silences();
    if (context.json) printJson(context, silences);
    else if (silences.length === 0) context.err.write('Nothing is silenced.\n');
    else {
      const now = context.clock.now();
      const columns = ['ID', 'KIND', 'WHAT', 'ENDS', 'BY', 'WHY'].map((header) => ({ header }));
      const rows = silences.map(({ id, kind, what, until, by, reason }) => [
        id,
        kind,
        what,
        formatRelativeTime(until, now),
        by,
        reason ?? '',
      ]);
      context.out.write(formatTable(columns, rows, tableOptions(context.out)));
    }
    return EXIT_OK;
  },
});
