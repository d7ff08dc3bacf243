/** `fleet schedule show`: all about one schedule. */
import { defineCommand } from '../context/command.ts';
import { openGateway } from '../context/open-gateway.ts';
import { EXIT_OK } from '../output/exit-code.ts';
import { printJson } from '../output/print.ts';
import { formatFacts } from '../output/table.ts';
import { describeAction, describeReason } from '../schedule/describe-schedule.ts';

export const scheduleShowCommand = defineCommand({
  name: 'schedule show',
  usage: 'SCHEDULE',
  describe: 'Shows all about one schedule.',
  positionals: [{ name: 'SCHEDULE', describe: 'Its name' }],
  options: {},
  examples: [
    ['fleet schedule show backup', 'one schedule'],
    ['fleet schedule show backup --json', 'with all of the request but the values of variables'],
  ],
  async execute(context, { positionals }) {
    const schedule = await openGateway(context).schedule(positionals.SCHEDULE);
    if (context.json) {
      printJson(context, schedule);
      return EXIT_OK;
    }
    const { last, action } = schedule;
    const facts = [
      ['Name', schedule.name],
      ['Does', describeAction(action)],
      ['Variables', action.kind === 'job' ? (action.request.env ?? []).join(', ') : ''],
      ['Cron', `${schedule.cron} (${schedule.timeZone})`],
      ['Next', schedule.paused ? 'paused' : (schedule.nextAt ?? 'never')],
      ['Overlap', schedule.overlap],
      ['Catch-up', schedule.catchUp],
      ['Added', `${schedule.createdAt} by ${schedule.createdBy}`],
      ['Last', last === null ? '' : `${last.state}, planned for ${last.plannedAt}`],
      ['Job', last?.job ?? ''],
      ['Why', last === null ? '' : describeReason(last)],
    ] as const;
    context.out.write(formatFacts(facts));
    return EXIT_OK;
  },
});
