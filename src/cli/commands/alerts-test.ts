/** `fleet alerts test`: sends a message the way of real ones, and says what came back. */
import { stripControl } from '../../shared/strip-control.ts';
import { defineCommand } from '../context/command.ts';
import { openGateway } from '../context/open-gateway.ts';
import { EXIT_FLEET_FAILED, EXIT_OK } from '../output/exit-code.ts';
import { printJson } from '../output/print.ts';

export const alertsTestCommand = defineCommand({
  name: 'alerts test',
  usage: '[RECEIVER]',
  describe: [
    'Sends one message that says that it is a test to each receiver, or to one, and says what came back. It is not tried again.',
    'Exit code: 0 if all took it, else 255.',
  ].join('\n'),
  positionals: [{ name: 'RECEIVER', describe: 'Only this one', optional: true }],
  options: {},
  examples: [
    ['fleet alerts test', 'all receivers'],
    ['fleet alerts test ops-chat --json', 'one, for scripts'],
  ],
  async execute(context, { positionals }) {
    const results = await openGateway(context).testAlerts(positionals.RECEIVER);
    if (context.json) printJson(context, results);
    else {
      const lines = results.map(({ receiver, kind, delivered, error, durationMs }) => {
        const what = delivered ? `delivered in ${durationMs} ms` : `NOT delivered: ${error ?? 'unknown'}`;
        return `${stripControl(`${receiver} (${kind}): ${what}`)}\n`;
      });
      context.out.write(lines.join(''));
    }
    return results.every(({ delivered }) => delivered) ? EXIT_OK : EXIT_FLEET_FAILED;
  },
});
