/** `fleet nodes label`: sets and removes labels, as kubectl does. */
import { FleetError } from '../../shared/errors.ts';
import { trimPasted } from '../../shared/pasted.ts';
import { formatLabels } from '../args/values.ts';
import { defineCommand } from '../context/command.ts';
import { openGateway } from '../context/open-gateway.ts';
import { EXIT_OK } from '../output/exit-code.ts';
import { printJson } from '../output/print.ts';

export const nodesLabelCommand = defineCommand({
  name: 'nodes label',
  usage: 'NODE K=V… K-…',
  describe: 'Sets labels of a node with K=V, and removes them with K-.',
  positionals: [
    { name: 'NODE', describe: 'Name, id or unique beginning of an id' },
    { name: 'LABEL', describe: 'K=V or K-', many: true },
  ],
  options: {},
  examples: [
    ['fleet nodes label node-1 site=berlin role=web', 'set two'],
    ['fleet nodes label node-1 role-', 'remove one'],
  ],
  async execute(context, { positionals }) {
    const labels = Object.fromEntries(positionals.LABEL.map(parseChange));
    const node = await openGateway(context).changeNode(positionals.NODE, { labels });
    if (context.json) printJson(context, node);
    else context.out.write(`${node.name}: ${formatLabels(node.labels) || 'no labels'}\n`);
    return EXIT_OK;
  },
});

function parseChange(text: string): [key: string, value: string | null] {
  const equals = text.indexOf('=');
  if (equals > 0) return [trimPasted(text.slice(0, equals)), trimPasted(text.slice(equals + 1))];
  if (equals < 0 && text.length > 1 && text.endsWith('-')) return [text.slice(0, -1), null];
  throw new FleetError('usage', `not a change of a label: ${JSON.stringify(text)}`, {
    hint: 'Write site=berlin to set it, site- to remove it.',
  });
}
