/** `fleet nodes show`: all that the gateway knows about one node. */
import type { CloneView, NodeDetailView } from '../../protocol/views.ts';
import { formatRelativeTime } from '../../shared/duration.ts';
import { formatClaim, formatLabels } from '../args/values.ts';
import { defineCommand } from '../context/command.ts';
import { openGateway } from '../context/open-gateway.ts';
import { EXIT_OK } from '../output/exit-code.ts';
import { printJson } from '../output/print.ts';
import { formatFacts } from '../output/table.ts';

export const nodesShowCommand = defineCommand({
  name: 'nodes show',
  usage: 'NODE',
  describe: 'Shows all that the gateway knows about one node.',
  positionals: [{ name: 'NODE', describe: 'Name, id or unique beginning of an id' }],
  options: {},
  examples: [
    ['fleet nodes show node-1', 'for people'],
    ['fleet nodes show node-1 --json | jq .reasons', 'for scripts'],
  ],
  async execute(context, { positionals }) {
    const node = await openGateway(context).node(positionals.NODE);
    if (context.json) printJson(context, node);
    else context.out.write(formatFacts(describe(node, context.clock.now())));
    return EXIT_OK;
  },
});

function describe(node: NodeDetailView, now: number): [string, string][] {
  const ago = (time: string | null): string => (time === null ? '' : formatRelativeTime(time, now));
  const ms = (value: number | null): string => (value === null ? '' : `${Math.round(value * 10) / 10} ms`);
  return [
    ['name', node.name],
    ['id', node.id],
    ['status', [node.status, ...node.reasons].join(', ')],
    ['last seen', ago(node.lastSeenAt)],
    ['connected', ago(node.connectedSince)],
    ['round trip', ms(node.rttMs)],
    ['clock skew', ms(node.skewMs)],
    ['address', node.address ?? ''],
    ['hostname', node.hostname ?? ''],
    ['system', [node.os, node.osRelease, node.arch].filter(Boolean).join(' ')],
    ['version', node.agentVersion ?? ''],
    ['capabilities', node.capabilities.join(', ')],
    ['labels', formatLabels(node.labels)],
    ...describeClaims(node),
    ['active runs', node.runsActive === null ? '' : String(node.runsActive)],
    ['policy', node.policy === null ? '' : node.policy ? 'its own; fleet node status shows it there' : 'none'],
    ...describeClone(node.clone, ago),
    ['key', node.fingerprint],
    ['paired', ago(node.pairedAt)],
  ];
}

function describeClaims({ name, pending, refused }: NodeDetailView): [string, string][] {
  const facts: [string, string][] = [];
  if (pending) facts.push(['waits for approval', `${formatClaim(pending)} (fleet nodes approve ${pending.code})`]);
  if (refused) facts.push(['turned down', `${formatClaim(refused)} (after all: fleet nodes approve ${name})`]);
  return facts;
}

function describeClone(clone: CloneView | null, ago: (time: string | null) => string): [string, string][] {
  if (clone === null) return [];
  const machines = clone.machines.map(({ hostname, address, machineId, at }, index): [string, string] => {
    const machine = machineId === null ? '' : `, machine ${machineId.slice(0, 8)}`;
    return [index === 0 ? 'one' : 'the other', `${hostname}, ${address}${machine}, ${ago(at)}`];
  });
  return [
    ['key used twice', `${clone.count} times, first ${ago(clone.since)}`],
    ...machines,
    ['what to do', 'A restored backup: fleet nodes reset NODE. A stolen key: fleet nodes revoke NODE. docs/clones.md'],
  ];
}
