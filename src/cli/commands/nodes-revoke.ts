/** `fleet nodes revoke`: the node's key is refused from now on. */
import { defineCommand } from '../context/command.ts';
import { openGateway } from '../context/open-gateway.ts';
import { EXIT_OK } from '../output/exit-code.ts';
import { printJson } from '../output/print.ts';

export const nodesRevokeCommand = defineCommand({
  name: 'nodes revoke',
  usage: 'NODE',
  describe:
    "Refuses the node's key from now on, and cuts its tunnel at once. The node stays in the list, and its jobs in the record.",
  positionals: [{ name: 'NODE', describe: 'Name, id or unique beginning of an id' }],
  options: {},
  examples: [
    ['fleet nodes revoke laptop-3', 'when it was stolen'],
    ['fleet nodes revoke laptop-3 && fleet nodes rm laptop-3', 'and forget it'],
  ],
  async execute(context, { positionals }) {
    const node = await openGateway(context).revokeNode(positionals.NODE);
    if (context.json) printJson(context, node);
    else context.out.write(`${node.name} is revoked\n`);
    return EXIT_OK;
  },
});
