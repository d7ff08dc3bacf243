/** `fleet agents`: who has which agent. */
import { agentsOf } from '../../protocol/agent/agent-capability.ts';
import { defineCommand } from '../context/command.ts';
import { openGateway } from '../context/open-gateway.ts';
import { EXIT_OK } from '../output/exit-code.ts';
import { printJson } from '../output/print.ts';
import { formatTable, tableOptions } from '../output/table.ts';
import { paintStatus } from '../output/terminal-style.ts';

export const agentsCommand = defineCommand({
  name: 'agents',
  usage: '[OPTIONS] [NODE]',
  describe: 'Lists the agents: programs that take prompts, as the config of each node names them.',
  positionals: [{ name: 'NODE', describe: 'Only those of this node', optional: true }],
  options: {},
  examples: [
    ['fleet agents', 'all of them'],
    ['fleet agents --json | jq -r \'.[] | select(.agent == "coder") | .node\'', 'who has the coder'],
  ],
  async execute(context, { positionals }) {
    const client = openGateway(context);
    const nodes = positionals.NODE === undefined ? await client.nodes() : [await client.node(positionals.NODE)];
    const agents = nodes
      .filter(({ status }) => status !== 'revoked')
      .flatMap(({ name, status, capabilities }) =>
        agentsOf(capabilities).map((agent) => ({ node: name, status, agent })),
      );
    if (context.json) {
      printJson(context, agents);
    } else if (agents.length === 0) {
      context.err.write('There are no agents. A node has those that its config.yaml names: node.agents\n');
    } else {
      const { style } = context.out;
      const rows = agents.map(({ node, status, agent }) => [node, paintStatus(status, style), agent]);
      const columns = [{ header: 'NODE' }, { header: 'STATUS' }, { header: 'AGENT' }];
      context.out.write(formatTable(columns, rows, tableOptions(context.out)));
    }
    return EXIT_OK;
  },
});
