/** `fleet node rotate-key`: the node on this machine gets a new key, and stays the same node. */
import { NodeControlClient } from '../../client/node-control-client.ts';
import { defineCommand } from '../context/command.ts';
import { EXIT_OK } from '../output/exit-code.ts';
import { printJson } from '../output/print.ts';
import { findNodeProfile } from '../service/node-profile.ts';

export const nodeRotateKeyCommand = defineCommand({
  name: 'node rotate-key',
  usage: '[--name NAME]',
  describe: [
    'Replaces the key of the node on this machine, at once or at its next connect. It stays the same node, and its commands go on.',
    'The gateway refuses the old key from then on, whoever has a copy of it.',
  ].join('\n'),
  positionals: [],
  options: { name: { type: 'string', placeholder: 'NAME', describe: 'Which one, when there are several' } },
  examples: [
    ['fleet node rotate-key', 'the only one'],
    ['fleet node rotate-key --name pi-7 --json | jq -r .fingerprint', 'one of several'],
  ],
  async execute(context, { options }) {
    const { profile, paths } = findNodeProfile(context.home, options.name);
    const view = await new NodeControlClient({ socketPath: paths.socket, profile }).rotateKey();
    if (context.json) printJson(context, view);
    else if (view.state === 'rotated') context.out.write(`the key is now ${view.fingerprint}\n`);
    else context.out.write(`the node is not connected; with its next connect the key will be ${view.fingerprint}\n`);
    return EXIT_OK;
  },
});
