/** `fleet gateway logs`: what the gateway process wrote into its log. */
import { gatewayPaths } from '../../shared/home.ts';
import { defineCommand } from '../context/command.ts';
import { assertOwnGateway } from '../context/open-gateway.ts';
import { LOG_OPTIONS, showLog } from '../service/logs.ts';

export const gatewayLogsCommand = defineCommand({
  name: 'gateway logs',
  usage: '[OPTIONS]',
  describe: 'Shows the end of the log of the gateway of this home, whether it runs or not.',
  positionals: [],
  options: LOG_OPTIONS,
  examples: [
    ['fleet gateway logs -f', 'what is going on'],
    ['fleet gateway logs -n 1000 --json | jq \'select(.level == "error")\'', 'for scripts'],
  ],
  async execute(context, { options }) {
    assertOwnGateway(context, 'gateway logs');
    return await showLog(context, gatewayPaths(context.home).log, options);
  },
});
