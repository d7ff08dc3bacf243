/** `fleet node logs`: what the node process wrote into its log. */

import { defineCommand } from '../context/command.ts';
import { LOG_OPTIONS, showLog } from '../service/logs.ts';
import { findNodeProfile } from '../service/node-profile.ts';

export const nodeLogsCommand = defineCommand({
  name: 'node logs',
  usage: '[OPTIONS]',
  describe: 'Shows the end of the log of the node on this machine, whether it runs or not.',
  positionals: [],
  options: {
    ...LOG_OPTIONS,
    name: { type: 'string', placeholder: 'NAME', describe: 'Which one, when there are several' },
  },
  examples: [
    ['fleet node logs -f', 'what is going on'],
    ['fleet node logs -n 1000 --json | jq \'select(.level == "error")\'', 'for scripts'],
  ],
  async execute(context, { options }) {
    return await showLog(context, findNodeProfile(context.home, options.name).paths.log, options);
  },
});
