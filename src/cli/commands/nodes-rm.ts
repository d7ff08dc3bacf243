/** `fleet nodes rm`: the gateway forgets a node. */
import { stripControl } from '../../shared/strip-control.ts';
import { defineCommand } from '../context/command.ts';
import { openGateway } from '../context/open-gateway.ts';
import { canAsk, confirm, EXIT_DECLINED } from '../output/confirm.ts';
import { EXIT_OK } from '../output/exit-code.ts';
import { printJson } from '../output/print.ts';

export const nodesRmCommand = defineCommand({
  name: 'nodes rm',
  usage: 'NODE',
  describe:
    'Forgets a node; its name is free again. A node that still runs must pair anew. To keep its key out, revoke it.',
  positionals: [{ name: 'NODE', describe: 'Name, id or unique beginning of an id' }],
  options: {
    yes: { type: 'boolean', describe: 'Ask nothing, also on a terminal and while the node is connected' },
  },
  examples: [
    ['fleet nodes rm old-laptop', 'by name; asks first if it is connected'],
    ['fleet nodes rm n7k3 --yes', 'by the beginning of its id, without a question'],
  ],
  async execute(context, { positionals, options }) {
    const gateway = openGateway(context);
    if (!options.yes && canAsk(context)) {
      const { name, connectedSince, runsActive } = await gateway.node(positionals.NODE);
      const runs = runsActive === null || runsActive === 0 ? '' : ` and works on ${runsActive} runs`;
      const question = `${name} is connected${runs}. Removed, it has to pair again with a new code. Remove it?`;
      if (connectedSince !== null && !(await confirm(context, stripControl(question)))) {
        context.err.write(`${name} is not removed\n`);
        return EXIT_DECLINED;
      }
    }
    await gateway.removeNode(positionals.NODE);
    if (context.json) printJson(context, { removed: positionals.NODE });
    else context.out.write(`${positionals.NODE} is removed\n`);
    return EXIT_OK;
  },
});
