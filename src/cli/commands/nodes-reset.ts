/** `fleet nodes reset`: an operator has looked into a key that two machines seemed to use. */
import { defineCommand } from '../context/command.ts';
import { openGateway } from '../context/open-gateway.ts';
import { EXIT_OK } from '../output/exit-code.ts';
import { printJson } from '../output/print.ts';

export const nodesResetCommand = defineCommand({
  name: 'nodes reset',
  usage: 'NODE',
  describe: [
    "Forgets that two machines seemed to use the node's key: after a restored backup, or once the other machine is gone.",
    'If both are still there, they are noticed again when one of them connects next.',
  ].join('\n'),
  positionals: [{ name: 'NODE', describe: 'Name, id or unique beginning of an id' }],
  options: {},
  examples: [
    ['fleet nodes show pi-7', 'see which two machines they were'],
    ['fleet nodes reset pi-7', 'it was a restored backup'],
  ],
  async execute(context, { positionals }) {
    const node = await openGateway(context).resetNode(positionals.NODE);
    if (context.json) printJson(context, node);
    else context.out.write(`${node.name} is reset: the machine that connected last is the one that is expected\n`);
    return EXIT_OK;
  },
});
