/** `fleet alerts unsilence`: ends a silence. */
import { defineCommand } from '../context/command.ts';
import { openGateway } from '../context/open-gateway.ts';
import { EXIT_OK } from '../output/exit-code.ts';
import { printJson } from '../output/print.ts';

export const alertsUnsilenceCommand = defineCommand({
  name: 'alerts unsilence',
  usage: 'WHAT',
  describe: 'Ends a silence before its time.',
  positionals: [{ name: 'WHAT', describe: 'Rule, node or alert as it was silenced, or the id of the silence' }],
  options: {},
  examples: [
    ['fleet alerts unsilence node-1', 'the disk is in'],
    ['fleet alerts unsilence flapping --json', 'for scripts'],
  ],
  async execute(context, { positionals }) {
    const ended = await openGateway(context).unsilence(positionals.WHAT);
    if (context.json) printJson(context, ended);
    else context.out.write(ended.map(({ kind, what }) => `${kind} ${what}: no longer silenced\n`).join(''));
    return EXIT_OK;
  },
});
