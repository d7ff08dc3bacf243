/** `fleet gateway reload`: the gateway reads its configuration anew. */
import { defineCommand } from '../context/command.ts';
import { openGateway } from '../context/open-gateway.ts';
import { EXIT_OK } from '../output/exit-code.ts';
import { printJson } from '../output/print.ts';

export const gatewayReloadCommand = defineCommand({
  name: 'gateway reload',
  usage: '',
  describe: [
    'Makes the gateway read config.yaml anew, as SIGHUP does. gateway.alerts (rules, receivers, groupWait) counts at once; of anything else',
    'that has changed, it says that a restart is needed. A file that is wrong changes nothing: exit code 78.',
  ].join('\n'),
  positionals: [],
  options: {},
  examples: [
    ['fleet gateway reload', 'after a change of the alert rules'],
    ['fleet gateway reload && fleet alerts test', 'and of the receivers'],
  ],
  async execute(context) {
    const { changed, restartNeeded } = await openGateway(context).reload();
    if (context.json) printJson(context, { changed, restartNeeded });
    else {
      context.out.write(
        changed.length === 0 ? 'nothing that counts at once has changed\n' : `in force: ${changed.join(', ')}\n`,
      );
      if (restartNeeded.length > 0) context.out.write(`needs a restart: ${restartNeeded.join(', ')}\n`);
    }
    return EXIT_OK;
  },
});
