/** `fleet schedule history`: what became of the times of one schedule. */
import { parseCount } from '../args/values.ts';
import { defineCommand } from '../context/command.ts';
import { openGateway } from '../context/open-gateway.ts';
import { EXIT_OK } from '../output/exit-code.ts';
import { printJson } from '../output/print.ts';
import { formatTable, tableOptions } from '../output/table.ts';
import { describeDuration, describeOutcomes, describeReason, paintOf } from '../schedule/describe-schedule.ts';

const COLUMNS = [
  { header: 'PLANNED FOR' },
  { header: 'CAUSE' },
  { header: 'STATE' },
  { header: 'TOOK', align: 'right' },
  { header: 'JOB' },
  { header: 'WHY' },
] as const;

export const scheduleHistoryCommand = defineCommand({
  name: 'schedule history',
  usage: '[OPTIONS] SCHEDULE',
  describe:
    'Shows what became of the times of a schedule, the newest first, and how many of them were skipped, missed or failed. The last 200 are kept.',
  positionals: [{ name: 'SCHEDULE', describe: 'Its name' }],
  options: { limit: { type: 'string', placeholder: 'N', describe: 'At most so many (20)' } },
  examples: [
    ['fleet schedule history backup', 'the latest'],
    [
      'fleet schedule history backup --limit 200 --json | jq -r \'.[] | select(.state == "failed") | .job\'',
      'for scripts',
    ],
  ],
  async execute(context, { options, positionals }) {
    const limit = options.limit === undefined ? undefined : parseCount(options.limit, '--limit');
    const firings = await openGateway(context).scheduleHistory(positionals.SCHEDULE, limit);
    if (context.json) {
      printJson(context, firings);
      return EXIT_OK;
    }
    if (firings.length === 0) {
      context.err.write('It was not due yet.\n');
      return EXIT_OK;
    }
    const { style } = context.out;
    const rows = firings.map((firing) => [
      firing.plannedAt,
      firing.cause,
      { text: firing.state, paint: paintOf(firing, style) },
      describeDuration(firing),
      firing.job ?? '',
      describeReason(firing),
    ]);
    context.out.write(formatTable(COLUMNS, rows, tableOptions(context.out)));
    context.err.write(`${describeOutcomes(firings)}\n`);
    return EXIT_OK;
  },
});
