/** `fleet nodes approve`: lets a waiting machine in, or a node have the labels and capabilities that it asks for. */

import { formatClaim, parsePairs } from '../args/values.ts';
import { defineCommand } from '../context/command.ts';
import { openGateway } from '../context/open-gateway.ts';
import { EXIT_OK } from '../output/exit-code.ts';
import { printJson } from '../output/print.ts';

export const nodesApproveCommand = defineCommand({
  name: 'nodes approve',
  usage: 'CODE|NAME [OPTIONS]',
  describe: [
    'Lets a machine in that waits for approval. Compare its code first: both sides show the same.',
    'Of a node that asks for other labels or capabilities, a code approves exactly what `fleet nodes pending` shows with it.',
  ].join('\n'),
  positionals: [{ name: 'WHICH', describe: 'The code that it shows, or its name' }],
  options: {
    name: { type: 'string', placeholder: 'NAME', describe: 'Give it this name' },
    label: { type: 'list', placeholder: 'K=V', describe: 'Give it this label; may be given more than once' },
  },
  examples: [
    ['fleet nodes approve 4831-2290', 'by the code that it shows'],
    ['fleet nodes approve raspberrypi --name kitchen --label site=home', 'with another name and a label'],
  ],
  async execute(context, { options, positionals }) {
    const labels = parsePairs(options.label, '--label');
    const approved = await openGateway(context).decidePending(positionals.WHICH, {
      decision: 'approve',
      name: options.name,
      ...(Object.keys(labels).length === 0 ? {} : { labels }),
    });
    if (context.json) printJson(context, approved);
    else {
      const { change, code, labels: own } = approved;
      const granted = formatClaim(change ?? { labels: own, capabilities: [] });
      const details = granted === '' ? '' : `${change === undefined ? ', with' : ':'} ${granted}`;
      context.out.write(`${options.name ?? approved.name} (${code}) is approved${details}\n`);
    }
    return EXIT_OK;
  },
});
