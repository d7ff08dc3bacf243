/** `fleet nodes rm`: the gateway forgets a node. */
import { defineCommand } from '../command.ts';
import { openGateway, printJson } from '../context.ts';
import { EXIT_OK } from '../exit-code.ts';

export const nodesRmCommand = defineCommand({
  name: 'nodes rm',
  usage: 'NODE',
  describe:
    'Forgets a node; its name is free again. A node that still runs must pair anew. To keep its key out, revoke it.',
  positionals: [{ name: 'NODE', describe: 'Name, id or unique beginning of an id' }],
  options: {},
  examples: [
    ['fleet nodes rm old-laptop', 'by name'],
    ['fleet nodes rm n7k3', 'by the beginning of its id'],
  ],
  async execute(context, { positionals }) {
    await openGateway(context).removeNode(positionals.NODE);
    if (context.json) printJson(context, { removed: positionals.NODE });
    else context.out.write(`${positionals.NODE} is removed\n`);
    return EXIT_OK;
  },
});
