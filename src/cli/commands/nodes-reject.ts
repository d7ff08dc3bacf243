/** `fleet nodes reject`: turns a waiting machine away. */
import { defineCommand } from '../command.ts';
import { openGateway, printJson } from '../context.ts';
import { EXIT_OK } from '../exit-code.ts';

export const nodesRejectCommand = defineCommand({
  name: 'nodes reject',
  usage: 'CODE|NAME',
  describe: 'Turns away a machine that waits for approval.',
  positionals: [{ name: 'WHICH', describe: 'The code that it shows, or its name' }],
  options: {},
  examples: [
    ['fleet nodes reject 4831-2290', 'by the code that it shows'],
    ['fleet nodes reject raspberrypi', 'by its name'],
  ],
  async execute(context, { positionals }) {
    const rejected = await openGateway(context).decidePending(positionals.WHICH, { decision: 'reject' });
    if (context.json) printJson(context, rejected);
    else context.out.write(`${rejected.name} (${rejected.code}) is turned away\n`);
    return EXIT_OK;
  },
});
