/** `fleet gateway down`: ends the gateway of this home. */
import { FleetError } from '../../shared/errors.ts';
import { defineCommand } from '../context/command.ts';
import { openOwnGateway } from '../context/open-gateway.ts';
import { EXIT_OK } from '../output/exit-code.ts';
import { printJson } from '../output/print.ts';
import { stopProcess } from '../service/process.ts';

export const gatewayDownCommand = defineCommand({
  name: 'gateway down',
  usage: '',
  describe:
    'Ends the gateway of this home in order, and waits until it is gone. Jobs are kept, and go on when it is back.',
  positionals: [],
  options: {},
  examples: [
    ['fleet gateway down', 'stop it'],
    ['fleet gateway down && fleet gateway up --detach', 'restart it'],
  ],
  async execute(context) {
    let pid: number | null = null;
    try {
      const gateway = openOwnGateway(context, 'gateway down');
      pid = await stopProcess(context, () => gateway.shutdown(), 'the gateway');
    } catch (error) {
      // Down is where it was asked to be.
      if (!(error instanceof FleetError) || error.code !== 'gateway_unreachable') throw error;
      if (!context.json) context.err.write(`no gateway is running in ${context.home}\n`);
    }
    if (context.json) printJson(context, { pid });
    return EXIT_OK;
  },
});
