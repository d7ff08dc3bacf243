/** `fleet schedule add`: has the gateway do something at certain times. */
import { CATCH_UPS, type CatchUp, OVERLAPS, type Overlap } from '../../protocol/schedule-words.ts';
import { stripControl } from '../../shared/strip-control.ts';
import { defineCommand } from '../context/command.ts';
import { openGateway } from '../context/open-gateway.ts';
import { EXIT_OK } from '../output/exit-code.ts';
import { printJson } from '../output/print.ts';
import { describeAction } from '../schedule/describe-schedule.ts';
import { parseAction } from '../schedule/parse-action.ts';

export const scheduleAddCommand = defineCommand({
  name: 'schedule add',
  usage: '[OPTIONS] CRON [--] run|broadcast|agent run|health report …',
  describe: [
    'Has the gateway do something at certain times. The command is typed as one would type it now, and checked now.',
    "CRON is one word of five fields, as in crontab(5): '0 7 * * 1-5'; or @hourly, @daily, @weekly, @monthly.",
    'A report needs --out: a file on the machine of the gateway, absolute or below HOME/reports.',
  ].join('\n'),
  positionals: [{ name: 'CRON', describe: 'Minute, hour, day, month and weekday, in one word' }],
  passthrough: true,
  options: {
    name: { type: 'string', placeholder: 'NAME', describe: 'What to call it (made of the command)' },
    tz: { type: 'string', placeholder: 'ZONE', describe: "Time zone, such as Europe/Berlin (the gateway's)" },
    overlap: { type: 'string', describe: 'When the one before still goes on (skip)', choices: OVERLAPS },
    'catch-up': { type: 'string', describe: 'What was due while the gateway was down (once)', choices: CATCH_UPS },
  },
  examples: [
    ["fleet schedule add '0 7 * * *' --tz Europe/Berlin -- health report --format html --out daily.html", 'a report'],
    [
      "fleet schedule add --name backup --overlap queue '30 2 * * *' broadcast --expires 6h backup",
      'a job, every night',
    ],
    [
      "fleet schedule add @weekly -- agent run --any coder 'update the dependencies'",
      'a prompt, wherever there is time',
    ],
    ["fleet schedule add @hourly -- run web-1 --timeout 5m 'certbot renew'", 'on one node'],
  ],
  async execute(context, { options, positionals, words }, registry) {
    const action = await parseAction(context, words, registry);
    const schedule = await openGateway(context).addSchedule({
      cron: positionals.CRON,
      action,
      ...(options.name === undefined ? {} : { name: options.name }),
      ...(options.tz === undefined ? {} : { timeZone: options.tz }),
      ...(options.overlap === undefined ? {} : { overlap: options.overlap as Overlap }),
      ...(options['catch-up'] === undefined ? {} : { catchUp: options['catch-up'] as CatchUp }),
    });
    if (context.json) {
      printJson(context, schedule);
      return EXIT_OK;
    }
    context.out.write(`${schedule.name}\n`);
    const what = stripControl(describeAction(schedule.action));
    context.err.write(`${what}; next at ${schedule.nextAt ?? 'no time'}, by the clock of ${schedule.timeZone}\n`);
    return EXIT_OK;
  },
});
