/** `fleet version`. */
import { FLEET_VERSION, PROTOCOL_VERSION } from '../../protocol/version.ts';
import { defineCommand } from '../context/command.ts';
import { EXIT_OK } from '../output/exit-code.ts';
import { printJson } from '../output/print.ts';

export const versionCommand = defineCommand({
  name: 'version',
  usage: '',
  describe: 'Prints the version of this program.',
  positionals: [],
  options: {},
  examples: [
    ['fleet version', 'for people'],
    ['fleet version --json', 'with the version of the protocol'],
  ],
  async execute(context) {
    if (context.json) printJson(context, { version: FLEET_VERSION, protocol: PROTOCOL_VERSION });
    else context.out.write(`fleet ${FLEET_VERSION}\n`);
    return EXIT_OK;
  },
});
