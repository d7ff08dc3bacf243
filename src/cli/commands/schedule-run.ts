/** `fleet schedule run`: does now what a schedule does at its times. */
import { stripControl } from '../../shared/strip-control.ts';
import { defineCommand } from '../context/command.ts';
import { openGateway } from '../context/open-gateway.ts';
import { EXIT_FLEET_FAILED, EXIT_OK } from '../output/exit-code.ts';
import { printJson } from '../output/print.ts';
import { describeReason } from '../schedule/describe-schedule.ts';

export const scheduleRunCommand = defineCommand({
  name: 'schedule run',
  usage: 'SCHEDULE',
  describe: [
    'Does now what a schedule does at its times, and prints the id of the job. Its overlap policy counts.',
    'The exit code says whether that was begun; 255: it was not.',
  ].join('\n'),
  positionals: [{ name: 'SCHEDULE', describe: 'Its name' }],
  options: {},
  examples: [
    ['fleet schedule run backup', 'try it out'],
    ['fleet schedule run backup --json', 'with what became of it at once'],
  ],
  async execute(context, { positionals }) {
    const firing = await openGateway(context).runSchedule(positionals.SCHEDULE);
    const began = firing.state !== 'skipped' && firing.state !== 'failed';
    if (context.json) printJson(context, firing);
    else if (began && firing.job !== null) context.out.write(`${firing.job}\n`);
    else
      context.err.write(
        `${stripControl([firing.state, describeReason(firing)].filter((text) => text !== '').join(': '))}\n`,
      );
    return began ? EXIT_OK : EXIT_FLEET_FAILED;
  },
});
