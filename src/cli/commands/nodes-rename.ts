/** `fleet nodes rename`. */
import { defineCommand } from '../context/command.ts';
import { openGateway } from '../context/open-gateway.ts';
import { EXIT_OK } from '../output/exit-code.ts';
import { printJson } from '../output/print.ts';

export const nodesRenameCommand = defineCommand({
  name: 'nodes rename',
  usage: 'NODE NAME',
  describe: 'Gives a node another name. Its key, its labels and its jobs stay.',
  positionals: [
    { name: 'NODE', describe: 'Name, id or unique beginning of an id' },
    { name: 'NAME', describe: 'The new name: a-z, 0-9, dot and dash' },
  ],
  options: {},
  examples: [
    ['fleet nodes rename raspberrypi kitchen', 'by name'],
    ['fleet nodes rename n7k3 web-1', 'by the beginning of its id'],
  ],
  async execute(context, { positionals }) {
    const node = await openGateway(context).changeNode(positionals.NODE, { name: positionals.NAME });
    if (context.json) printJson(context, node);
    else context.out.write(`${positionals.NODE} is now ${node.name}\n`);
    return EXIT_OK;
  },
});
