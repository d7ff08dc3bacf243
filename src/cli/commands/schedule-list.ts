/** `fleet schedule list`: the table of all schedules. */
import { defineCommand } from '../context/command.ts';
import { openGateway } from '../context/open-gateway.ts';
import { EXIT_OK } from '../output/exit-code.ts';
import { printJson } from '../output/print.ts';
import { formatTable, tableOptions } from '../output/table.ts';
import { describeAction, describeLast, describeNext } from '../schedule/describe-schedule.ts';

const COLUMNS = ['NAME', 'CRON', 'ZONE', 'NEXT', 'LAST', 'WHAT'].map((header) => ({ header }));

export const scheduleListCommand = defineCommand({
  name: 'schedule list',
  usage: '',
  describe: 'Lists what is scheduled: when it is due next, and what became of the last time.',
  positionals: [],
  options: {},
  examples: [
    ['fleet schedule list', 'all of them'],
    ["fleet schedule list --json | jq -r '.[] | select(.paused) | .name'", 'those that rest'],
  ],
  async execute(context) {
    const schedules = await openGateway(context).schedules();
    if (context.json) {
      printJson(context, schedules);
      return EXIT_OK;
    }
    if (schedules.length === 0) {
      context.err.write("Nothing is scheduled. For example: fleet schedule add '0 7 * * *' -- broadcast uptime\n");
      return EXIT_OK;
    }
    const now = context.clock.now();
    const { style } = context.out;
    const rows = schedules.map((schedule) => [
      schedule.name,
      schedule.cron,
      schedule.timeZone,
      describeNext(schedule, now),
      describeLast(schedule, now, style),
      describeAction(schedule.action),
    ]);
    context.out.write(formatTable(COLUMNS, rows, tableOptions(context.out)));
    return EXIT_OK;
  },
});
