/** `fleet schedule resume`. */
import { defineCommand } from '../context/command.ts';
import { openGateway } from '../context/open-gateway.ts';
import { EXIT_OK } from '../output/exit-code.ts';
import { printJson } from '../output/print.ts';
import { describeNext } from '../schedule/describe-schedule.ts';

export const scheduleResumeCommand = defineCommand({
  name: 'schedule resume',
  usage: 'SCHEDULE',
  describe: 'Lets a schedule go on, with its next time.',
  positionals: [{ name: 'SCHEDULE', describe: 'Its name' }],
  options: {},
  examples: [
    ['fleet schedule resume backup', 'after maintenance'],
    ['fleet schedule resume backup --json', 'with what it is like now'],
  ],
  async execute(context, { positionals }) {
    const schedule = await openGateway(context).pauseSchedule(positionals.SCHEDULE, false);
    if (context.json) printJson(context, schedule);
    else context.err.write(`${schedule.name}: ${describeNext(schedule, context.clock.now())}\n`);
    return EXIT_OK;
  },
});
