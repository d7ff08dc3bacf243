/** `fleet node status`: what a node on this machine says of itself. */
import { NodeControlClient } from '../../client/node-control-client.ts';
import type { NodeStatusView } from '../../protocol/node-control.ts';
import { formatRelativeTime } from '../../shared/duration.ts';
import { defineCommand } from '../context/command.ts';
import { describePolicy } from '../output/describe-policy.ts';
import { EXIT_OK } from '../output/exit-code.ts';
import { printJson } from '../output/print.ts';
import { formatFacts } from '../output/table.ts';
import { findNodeProfile } from '../service/node-profile.ts';

export const nodeStatusCommand = defineCommand({
  name: 'node status',
  usage: '[--name NAME]',
  describe: 'Shows whether the node on this machine is connected, and if not, why. Exit code 255 when it does not run.',
  positionals: [],
  options: { name: { type: 'string', placeholder: 'NAME', describe: 'Which one, when there are several' } },
  examples: [
    ['fleet node status', 'for people'],
    ['fleet node status --json | jq -r .state', 'for scripts'],
  ],
  async execute(context, { options }) {
    const { profile, paths } = findNodeProfile(context.home, options.name);
    const view = await new NodeControlClient({ socketPath: paths.socket, profile }).status();
    if (context.json) printJson(context, view);
    else context.out.write(formatFacts(describe(view, context.clock.now())));
    return EXIT_OK;
  },
});

function describe(view: NodeStatusView, now: number): [string, string][] {
  const ago = (time: string | null): string => (time === null ? '' : formatRelativeTime(time, now));
  const facts: [string, string][] = [
    ['node', view.name ?? `${view.profile} (not paired)`],
    ['state', view.state],
    ['gateway', view.gateway],
  ];
  if (view.pendingCode !== null) facts.push(['code to compare', view.pendingCode]);
  if (view.lastError !== null) facts.push(['last error', view.lastError.message]);
  if (view.lastError?.hint !== undefined) facts.push(['what to do', view.lastError.hint]);
  if (view.retryAt !== null) facts.push(['next attempt', ago(view.retryAt)]);
  if (view.connectedSince !== null) facts.push(['connected', ago(view.connectedSince)]);
  if (view.rttMs !== null) facts.push(['round trip', `${formatMs(view.rttMs)}`]);
  if (view.skewMs !== null) facts.push(['clock skew', formatMs(view.skewMs)]);
  for (const fault of view.faults) facts.push(['fault', fault]);
  facts.push(
    ...describePolicy(view.policy),
    ['runs', String(view.runsActive)],
    ['connects', String(view.connects)],
    ['version', view.version],
    ['pid', String(view.pid)],
    ['started', ago(view.startedAt)],
  );
  return facts;
}

function formatMs(ms: number): string {
  return `${Math.abs(ms) < 10 ? ms.toFixed(1) : Math.round(ms)} ms`;
}
