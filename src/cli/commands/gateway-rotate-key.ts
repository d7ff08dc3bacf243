/** `fleet gateway rotate-key`: the gateway signs with a new key from now on. */
import { defineCommand } from '../context/command.ts';
import { openGateway } from '../context/open-gateway.ts';
import { EXIT_OK } from '../output/exit-code.ts';
import { printJson } from '../output/print.ts';

export const gatewayRotateKeyCommand = defineCommand({
  name: 'gateway rotate-key',
  usage: '',
  describe: [
    'Replaces the key that signs the tokens of nodes and the tickets of runs. Nodes learn the new one with their next heartbeat or connect.',
    'What the old one has signed is good for gateway.keyGrace (48 h) more. The SSH host key, which nodes have pinned, stays as it is.',
  ].join('\n'),
  positionals: [],
  options: {},
  examples: [
    ['fleet gateway rotate-key', 'once a year, or when somebody leaves'],
    ['fleet gateway rotate-key --json | jq -r .graceEndsAt', 'when the old one ends'],
  ],
  async execute(context) {
    const view = await openGateway(context).rotateKey();
    if (context.json) printJson(context, view);
    else
      context.out.write(`the signing key is now ${view.key}; the one before is believed until ${view.graceEndsAt}\n`);
    return EXIT_OK;
  },
});
