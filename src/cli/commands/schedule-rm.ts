/** `fleet schedule rm`: removes a schedule. */
import { defineCommand } from '../context/command.ts';
import { openGateway } from '../context/open-gateway.ts';
import { EXIT_OK } from '../output/exit-code.ts';

export const scheduleRmCommand = defineCommand({
  name: 'schedule rm',
  usage: 'SCHEDULE',
  describe: 'Removes a schedule and its history. Jobs that it made stay, and those under way go on.',
  positionals: [{ name: 'SCHEDULE', describe: 'Its name' }],
  options: {},
  examples: [
    ['fleet schedule rm backup', 'for good'],
    ['fleet schedule pause backup', 'for a while only'],
  ],
  async execute(context, { positionals }) {
    await openGateway(context).removeSchedule(positionals.SCHEDULE);
    return EXIT_OK;
  },
});
