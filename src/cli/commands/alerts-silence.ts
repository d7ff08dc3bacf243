/** `fleet alerts silence`: nobody is told of something for a while. */
import { formatDuration } from '../../shared/duration.ts';
import { FleetError } from '../../shared/errors.ts';
import { parsePositiveDuration } from '../args/values.ts';
import { defineCommand } from '../context/command.ts';
import { openGateway } from '../context/open-gateway.ts';
import { EXIT_OK } from '../output/exit-code.ts';
import { printJson } from '../output/print.ts';

export const alertsSilenceCommand = defineCommand({
  name: 'alerts silence',
  usage: 'WHAT --for DURATION [--reason TEXT]',
  describe: [
    'Tells nobody of a rule, a node or one alert for a while. What happens is still recorded and shown, and health checks do not',
    'count it. Of what still fires at the end, people are told then.',
  ].join('\n'),
  positionals: [{ name: 'WHAT', describe: 'Name of a rule or node, or id of an alert' }],
  options: {
    for: { type: 'string', placeholder: 'DURATION', describe: 'For how long' },
    reason: { type: 'string', placeholder: 'TEXT', describe: 'Why, for the others' },
  },
  examples: [
    ["fleet alerts silence node-1 --for 2h --reason 'new disk'", 'one node, while it is worked on'],
    ['fleet alerts silence flapping --for 1d', 'one rule'],
  ],
  async execute(context, { options, positionals }) {
    if (options.for === undefined) {
      throw new FleetError('usage', 'a silence needs an end', { hint: 'Write for how long: --for 2h' });
    }
    const forMs = parsePositiveDuration(options.for, '--for');
    const silence = await openGateway(context).silence({
      what: positionals.WHAT,
      forMs,
      ...(options.reason === undefined ? {} : { reason: options.reason }),
    });
    if (context.json) printJson(context, silence);
    else context.out.write(`${silence.kind} ${silence.what}: silenced for ${formatDuration(forMs)}\n`);
    return EXIT_OK;
  },
});
