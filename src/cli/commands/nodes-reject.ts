/** `fleet nodes reject`: turns a waiting machine away, or what a node asks for down. */
import { formatClaim } from '../args/values.ts';
import { defineCommand } from '../context/command.ts';
import { openGateway } from '../context/open-gateway.ts';
import { EXIT_OK } from '../output/exit-code.ts';
import { printJson } from '../output/print.ts';

export const nodesRejectCommand = defineCommand({
  name: 'nodes reject',
  usage: 'CODE|NAME',
  describe:
    'Turns away a machine that waits for approval, or turns down the labels and capabilities that a node asks for.',
  positionals: [{ name: 'WHICH', describe: 'The code that it shows, or its name' }],
  options: {},
  examples: [
    ['fleet nodes reject 4831-2290', 'by the code that it shows'],
    ['fleet nodes reject raspberrypi', 'by its name'],
  ],
  async execute(context, { positionals }) {
    const rejected = await openGateway(context).decidePending(positionals.WHICH, { decision: 'reject' });
    if (context.json) printJson(context, rejected);
    else {
      const { name, code, change } = rejected;
      const end = change === undefined ? 'is turned away' : `stays as it is: ${formatClaim(change)} is turned down`;
      context.out.write(`${name} (${code}) ${end}\n`);
    }
    return EXIT_OK;
  },
});
