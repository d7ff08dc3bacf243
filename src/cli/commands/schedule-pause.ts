/** `fleet schedule pause`. */
import { defineCommand } from '../context/command.ts';
import { openGateway } from '../context/open-gateway.ts';
import { EXIT_OK } from '../output/exit-code.ts';
import { printJson } from '../output/print.ts';
import { describeNext } from '../schedule/describe-schedule.ts';

export const schedulePauseCommand = defineCommand({
  name: 'schedule pause',
  usage: 'SCHEDULE',
  describe: 'Lets a schedule rest. What would have been due meanwhile is not missed: it is left out.',
  positionals: [{ name: 'SCHEDULE', describe: 'Its name' }],
  options: {},
  examples: [
    ['fleet schedule pause backup', 'before maintenance'],
    ['fleet schedule pause backup --json', 'with what it is like now'],
  ],
  async execute(context, { positionals }) {
    const schedule = await openGateway(context).pauseSchedule(positionals.SCHEDULE, true);
    if (context.json) printJson(context, schedule);
    else context.err.write(`${schedule.name}: ${describeNext(schedule, context.clock.now())}\n`);
    return EXIT_OK;
  },
});
