/** `fleet gateway status`: what the gateway of this home says of itself. */
import type { ConfigStateView } from '../../protocol/views.ts';
import { formatAddress } from '../../shared/address.ts';
import { formatRelativeTime } from '../../shared/duration.ts';
import { defineCommand } from '../context/command.ts';
import { openGateway } from '../context/open-gateway.ts';
import { EXIT_OK } from '../output/exit-code.ts';
import { printJson } from '../output/print.ts';
import { formatFacts } from '../output/table.ts';

function describeConfig({ readAt, fault, restartNeeded }: ConfigStateView, now: number): string {
  const read = `read ${formatRelativeTime(readAt, now)}`;
  const restart = restartNeeded.length === 0 ? '' : `, needs a restart: ${restartNeeded.join(', ')}`;
  return `${read}${restart}${fault === null ? '' : `; WRONG since, and not in force: ${fault}`}`;
}

export const gatewayStatusCommand = defineCommand({
  name: 'gateway status',
  usage: '',
  describe:
    'Shows the version, addresses, host key and load of the gateway of this home. Exit code 255 when it does not run.',
  positionals: [],
  options: {},
  examples: [
    ['fleet gateway status', 'for people'],
    ['fleet gateway status --json | jq -r .hostKeyFingerprint', 'for scripts'],
  ],
  async execute(context) {
    const view = await openGateway(context).gateway();
    if (context.json) printJson(context, view);
    else {
      const { nodes, api } = view;
      context.out.write(
        formatFacts([
          ['version', view.version],
          ['pid', String(view.pid)],
          ['started', formatRelativeTime(view.startedAt, context.clock.now())],
          ['ssh', formatAddress(view.listen)],
          ['advertised as', view.advertise ?? ''],
          ['api', api === null ? 'unix socket only' : formatAddress(api)],
          ['host key', view.hostKeyFingerprint],
          ['nodes', `${nodes.connected} of ${nodes.paired} connected, ${nodes.pending} pending`],
          ['open runs', String(view.runs.open)],
          ['config', describeConfig(view.config, context.clock.now())],
          ...(view.faults ?? []).map((fault) => ['FAULT', fault] as const),
        ]),
      );
    }
    return EXIT_OK;
  },
});
