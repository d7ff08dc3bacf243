/** `fleet nodes …`: which nodes there are, and who may become one. */
import { NODE_STATUSES } from '../../domain/states.ts';
import type { ClaimView, CloneView, NodeDetailView, PendingView } from '../../protocol/views.ts';
import { formatRelativeTime } from '../../shared/duration.ts';
import { FleetError } from '../../shared/errors.ts';
import { stripControl, trimPasted } from '../../shared/text.ts';
import { parsePairs } from '../args/values.ts';
import { type CliContext, defineCommand, NODE, openGateway } from '../context/command.ts';
import { formatMs, paintStatus, printResult } from '../output/print.ts';
import { formatFacts, printTable } from '../output/table.ts';

/** Exit code of a command whose question was answered with no. */
const EXIT_DECLINED = 1;

export const NO_NODES = 'There are no nodes yet. Invite one: fleet invite';

const list = defineCommand({
  name: 'nodes',
  describe: 'Lists the nodes: status, last seen, round trip, labels and version.',
  options: {
    label: { type: 'list', placeholder: 'K=V', describe: 'Only nodes with this label; repeatable' },
    status: { type: 'string', describe: 'Only nodes with this status', choices: [...NODE_STATUSES, 'revoked'] },
  },
  examples: [
    ['fleet nodes', 'all nodes'],
    ['fleet nodes --label site=berlin --status offline', 'what is missing in Berlin'],
    ["fleet nodes --json | jq -r '.[].name'", 'for scripts'],
  ],
  async execute(context, { options }) {
    const labels = Object.entries(parsePairs(options.label, '--label'));
    const all = await openGateway(context).nodes();
    const nodes = all.filter(
      (node) =>
        (options.status === undefined || node.status === options.status) &&
        labels.every(([key, value]) => node.labels[key] === value),
    );
    return printTable(context, nodes, all.length === 0 ? NO_NODES : 'No nodes match.', {
      NAME: ({ name }) => name,
      STATUS: ({ status }) => paintStatus(status, context.out.style),
      'LAST SEEN': ({ lastSeenAt }, now) => formatRelativeTime(lastSeenAt, now),
      RTT: { right: ({ rttMs }) => formatMs(rttMs) },
      LABELS: ({ labels }) => formatLabels(labels),
      VERSION: ({ version, agentVersion }) => version ?? agentVersion ?? '',
    });
  },
});

const show = defineCommand({
  name: 'nodes show',
  describe: 'Shows everything the gateway knows about a node.',
  positionals: [NODE],
  examples: [
    ['fleet nodes show node-1', 'for people'],
    ['fleet nodes show node-1 --json | jq .reasons', 'for scripts'],
  ],
  async execute(context, { positionals }) {
    const node = await openGateway(context).node(positionals.NODE);
    return printResult(context, node, () => formatFacts(describeNode(node, context.clock.now())));
  },
});

function describeNode(node: NodeDetailView, now: number): [string, string][] {
  const ago = (time: string | null): string => (time === null ? '' : formatRelativeTime(time, now));
  return [
    ['name', node.name],
    ['id', node.id],
    ['status', [node.status, ...node.reasons].join(', ')],
    ['last seen', ago(node.lastSeenAt)],
    ['connected', ago(node.connectedSince)],
    ['round trip', formatMs(node.rttMs)],
    ['clock skew', formatMs(node.skewMs)],
    ['address', node.address ?? ''],
    ['hostname', node.hostname ?? ''],
    ['system', [node.os, node.osRelease, node.arch].filter(Boolean).join(' ')],
    ['version', node.version ?? node.agentVersion ?? ''],
    ['capabilities', node.capabilities.join(', ')],
    ['labels', formatLabels(node.labels)],
    ...describeClaims(node),
    ['active runs', node.runsActive === null ? '' : String(node.runsActive)],
    ['policy', node.policy === null ? '' : node.policy ? "the node's own; see fleet node status there" : 'none'],
    ...describeClone(node.clone, ago),
    ['key', node.fingerprint],
    ['paired', ago(node.pairedAt)],
  ];
}

function describeClaims({ name, pending, refused }: NodeDetailView): [string, string][] {
  const facts: [string, string][] = [];
  if (pending) facts.push(['waits for approval', `${formatClaim(pending)} (fleet nodes approve ${pending.code})`]);
  if (refused) facts.push(['rejected', `${formatClaim(refused)} (to approve after all: fleet nodes approve ${name})`]);
  return facts;
}

function describeClone(clone: CloneView | null, ago: (time: string | null) => string): [string, string][] {
  if (clone === null) return [];
  const machines = clone.machines.map(({ hostname, address, machineId, at }, index): [string, string] => {
    const machine = machineId === null ? '' : `, machine ${machineId.slice(0, 8)}`;
    return [index === 0 ? 'one' : 'the other', `${hostname}, ${address}${machine}, ${ago(at)}`];
  });
  return [
    ['duplicate key', `seen ${clone.count} times, first ${ago(clone.since)}`],
    ...machines,
    ['what to do', 'Restored backup: fleet nodes reset NODE. Stolen key: fleet nodes revoke NODE. docs/clones.md'],
  ];
}

const rename = defineCommand({
  name: 'nodes rename',
  describe: 'Renames a node. Its key, labels and jobs do not change.',
  positionals: [NODE, { name: 'NAME', describe: 'The new name: a-z, 0-9, dots and dashes' }],
  examples: [
    ['fleet nodes rename raspberrypi kitchen', 'by name'],
    ['fleet nodes rename n7k3 web-1', 'by the start of its id'],
  ],
  async execute(context, { positionals }) {
    const node = await openGateway(context).changeNode(positionals.NODE, { name: positionals.NAME });
    return printResult(context, node, ({ name }) => `${positionals.NODE} is now ${name}\n`);
  },
});

const label = defineCommand({
  name: 'nodes label',
  usage: 'NODE K=V… K-…',
  describe: 'Sets labels of a node with K=V, and removes them with K-.',
  positionals: [NODE, { name: 'LABEL', describe: 'K=V or K-', many: true }],
  examples: [
    ['fleet nodes label node-1 site=berlin role=web', 'set two'],
    ['fleet nodes label node-1 role-', 'remove one'],
  ],
  async execute(context, { positionals }) {
    const labels = Object.fromEntries(positionals.LABEL.map(parseLabelChange));
    const node = await openGateway(context).changeNode(positionals.NODE, { labels });
    return printResult(context, node, () => `${node.name}: ${formatLabels(node.labels) || 'no labels'}\n`);
  },
});

function parseLabelChange(text: string): [key: string, value: string | null] {
  const equals = text.indexOf('=');
  if (equals > 0) return [trimPasted(text.slice(0, equals)), trimPasted(text.slice(equals + 1))];
  if (equals < 0 && text.length > 1 && text.endsWith('-')) return [text.slice(0, -1), null];
  throw new FleetError('usage', `not a label change: ${JSON.stringify(text)}`, {
    hint: 'Use site=berlin to set a label, site- to remove it.',
  });
}

const revoke = defineCommand({
  name: 'nodes revoke',
  describe:
    "Revokes the node's key and cuts its tunnel at once. The node stays in the list, and its jobs stay on record.",
  positionals: [NODE],
  examples: [
    ['fleet nodes revoke laptop-3', 'when it was stolen'],
    ['fleet nodes revoke laptop-3 && fleet nodes rm laptop-3', 'and remove it'],
  ],
  execute: async (context, { positionals: { NODE } }) =>
    printResult(context, await openGateway(context).revokeNode(NODE), ({ name }) => `${name} is revoked\n`),
});

const reset = defineCommand({
  name: 'nodes reset',
  describe: [
    "Marks a node's duplicate-key warning as resolved: after restoring a backup, or once the other machine is gone.",
    'If both machines still exist, the warning returns when one of them connects next.',
  ],
  positionals: [NODE],
  examples: [
    ['fleet nodes show pi-7', 'see which two machines they were'],
    ['fleet nodes reset pi-7', 'it was a restored backup'],
  ],
  async execute(context, { positionals }) {
    const node = await openGateway(context).resetNode(positionals.NODE);
    const text = `${node.name} is reset: the machine that connected last is now expected\n`;
    return printResult(context, node, () => text);
  },
});

const rm = defineCommand({
  name: 'nodes rm',
  describe:
    'Removes a node and frees its name. A node that is still running must pair again. To keep its key out, revoke it.',
  positionals: [NODE],
  options: { yes: { type: 'boolean', describe: 'Do not ask, even on a terminal while the node is connected' } },
  examples: [
    ['fleet nodes rm old-laptop', 'by name; asks first if it is connected'],
    ['fleet nodes rm n7k3 --yes', 'by the start of its id, without asking'],
  ],
  async execute(context, { positionals, options }) {
    const gateway = openGateway(context);
    // A script is never asked: nobody would see the question.
    if (!options.yes && context.err.isTerminal && context.openStdin().isTTY === true) {
      const { name, connectedSince, runsActive } = await gateway.node(positionals.NODE);
      const runs = runsActive === null || runsActive === 0 ? '' : ` and has ${runsActive} active runs`;
      const question = `${name} is connected${runs}. Once removed, it must pair again with a new code. Remove it?`;
      if (connectedSince !== null && !(await confirm(context, stripControl(question)))) {
        context.err.write(`${name} was not removed\n`);
        return EXIT_DECLINED;
      }
    }
    await gateway.removeNode(positionals.NODE);
    return printResult(context, { removed: positionals.NODE }, ({ removed }) => `${removed} is removed\n`);
  },
});

/** True only for `y` or `yes`; the end of stdin means no. */
async function confirm({ err, openStdin }: CliContext, question: string): Promise<boolean> {
  const { createInterface } = await import('node:readline');
  err.write(`${question} [y/N] `);
  const lines = createInterface({ input: openStdin(), terminal: false });
  try {
    for await (const line of lines) return /^\s*y(es)?\s*$/i.test(line);
    err.write('\n');
    return false;
  } finally {
    lines.close();
  }
}

const pending = defineCommand({
  name: 'nodes pending',
  describe: [
    'Lists machines waiting for approval, and labels and capabilities that paired nodes have requested.',
    'Approve a machine only if it shows the same code as this list.',
  ],
  examples: [
    ['fleet nodes pending', 'what is waiting'],
    ["fleet nodes pending --json | jq -r '.[].code'", 'for scripts'],
  ],
  async execute(context) {
    return printTable(context, await openGateway(context).pending(), 'Nothing is waiting for approval.', {
      CODE: ({ code }) => code,
      NAME: ({ name }) => name,
      ADDRESS: ({ address }) => address,
      SYSTEM: ({ os, arch }) => `${os} ${arch}`,
      ASKED: ({ since }, now) => formatRelativeTime(since, now),
      WANTS: describeWish,
    });
  },
});

/** `to join, with role=db`, or the requested change. */
function describeWish({ change, labels }: PendingView): string {
  if (change !== undefined) return formatClaim(change);
  const own = formatClaim({ labels, capabilities: [] });
  return own === '' ? 'to join' : `to join, with ${own}`;
}

const WHICH = { name: 'WHICH', describe: 'The code that it shows, or its name' } as const;

const approve = defineCommand({
  name: 'nodes approve',
  usage: 'CODE|NAME [OPTIONS]',
  describe: [
    'Approves a machine that is waiting. Compare its code first: both sides show the same one.',
    'For a paired node, a code approves exactly the labels and capabilities that `fleet nodes pending` shows with it.',
  ],
  positionals: [WHICH],
  options: {
    name: { type: 'string', placeholder: 'NAME', describe: 'Give it this name' },
    label: { type: 'list', placeholder: 'K=V', describe: 'Give it this label; repeatable' },
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
    return printResult(context, approved, ({ name, code, change, labels: own }) => {
      const granted = formatClaim(change ?? { labels: own, capabilities: [] });
      const details = granted === '' ? '' : `${change === undefined ? ', with' : ':'} ${granted}`;
      return `${options.name ?? name} (${code}) is approved${details}\n`;
    });
  },
});

const reject = defineCommand({
  name: 'nodes reject',
  usage: 'CODE|NAME',
  describe: 'Rejects a machine that is waiting for approval, or the labels and capabilities that a node has requested.',
  positionals: [WHICH],
  examples: [
    ['fleet nodes reject 4831-2290', 'by the code that it shows'],
    ['fleet nodes reject raspberrypi', 'by its name'],
  ],
  async execute(context, { positionals }) {
    const rejected = await openGateway(context).decidePending(positionals.WHICH, { decision: 'reject' });
    return printResult(context, rejected, ({ name, code, change }) => {
      const end = change === undefined ? 'is rejected' : `stays as it is: ${formatClaim(change)} is rejected`;
      return `${name} (${code}) ${end}\n`;
    });
  },
});

/** A requested change: `role=db, -site, agent:coder`; empty for none. */
function formatClaim({ labels, capabilities }: ClaimView): string {
  const changes = Object.keys(labels)
    .sort()
    .map((key) => (labels[key] === null ? `-${key}` : `${key}=${labels[key]}`));
  return [...changes, ...capabilities].join(', ');
}

/** `a=1,b=2`, sorted by key; empty without labels. */
export function formatLabels(labels: Readonly<Record<string, string>>): string {
  const keys = Object.keys(labels).sort();
  return keys.map((key) => `${key}=${labels[key]}`).join(',');
}

export const commands = [list, show, rename, label, revoke, reset, rm, pending, approve, reject];
