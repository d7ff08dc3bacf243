/** The table of all commands: names and one line each, and which file has the rest. A command is loaded only when it is needed. */
import type { Command, CommandRegistry } from './context/command.ts';

type Summaries = Readonly<Record<string, string>>;
type Load = () => Promise<{ commands: readonly Command[] }>;

/** For each file of `commands/`, its commands with the line that the help of their noun shows. The order is the help's. */
const FILES: readonly (readonly [Load, Summaries])[] = [
  [
    () => import('./commands/gateway.ts'),
    {
      'gateway up': 'start the gateway in this home',
      'gateway down': 'stop it',
      'gateway status': 'show its status',
      'gateway logs': 'show its log',
      'gateway reload': 'reload the configuration',
      'gateway rotate-key': 'replace the key that signs tokens and tickets',
    },
  ],
  [
    () => import('./commands/node.ts'),
    {
      'node up': 'pair this machine if needed, then keep its tunnel open',
      'node down': 'stop the node',
      'node status': 'show its status',
      'node logs': 'show its log',
      'node rotate-key': 'replace its key',
    },
  ],
  [() => import('./commands/login.ts'), { login: 'log in to a remote gateway', logout: 'log out of a gateway' }],
  [
    () => import('./commands/invites.ts'),
    {
      invite: 'create a code that lets a machine or person join',
      'invites list': 'list open invites',
      'invites revoke': 'invalidate an invite',
    },
  ],
  [() => import('./commands/keys.ts'), { 'keys list': 'list known keys', 'keys revoke': 'revoke a key' }],
  [
    () => import('./commands/nodes.ts'),
    {
      nodes: 'list the nodes',
      'nodes show': 'show one node',
      'nodes rename': 'rename a node',
      'nodes label': 'set or remove labels of a node',
      'nodes revoke': "revoke a node's key",
      'nodes reset': 'mark a duplicate-key warning as resolved',
      'nodes rm': 'remove a node',
      'nodes pending': 'list machines waiting for approval',
      'nodes approve': 'approve a machine',
      'nodes reject': 'reject a machine',
    },
  ],
  [() => import('./commands/run.ts'), { run: 'run a command on one node' }],
  [() => import('./commands/broadcast.ts'), { broadcast: 'run a command on many nodes' }],
  [
    () => import('./commands/agents.ts'),
    { 'agent run': 'send a prompt to an agent on a node', agents: 'list the agents' },
  ],
  [
    () => import('./commands/jobs.ts'),
    {
      jobs: 'list current and past jobs',
      'jobs show': 'show a job and its runs',
      'jobs logs': 'print the output of a job',
      'jobs wait': 'wait for the end of a job',
      'jobs cancel': 'cancel a job',
    },
  ],
  [
    () => import('./commands/health.ts'),
    { health: 'show node health, worst first', 'health report': 'report on a period, for cron' },
  ],
  [
    () => import('./commands/alerts.ts'),
    {
      alerts: 'list alerts, and who was notified',
      'alerts silence': 'mute a rule, node or alert for a while',
      'alerts unsilence': 'end a silence',
      'alerts silences': 'list silences',
      'alerts test': 'send a test message to the receivers',
    },
  ],
  [
    () => import('./commands/audit.ts'),
    {
      audit: 'show who did what, when and from where',
      'audit verify': 'check that the audit log is intact',
      'audit export': 'write the audit log to a file',
    },
  ],
  [() => import('./commands/top.ts'), { top: 'show live node health' }],
  [
    () => import('./commands/schedule.ts'),
    {
      'schedule add': 'run something at certain times',
      'schedule list': 'list the schedules',
      'schedule show': 'show one schedule',
      'schedule history': 'show past runs',
      'schedule run': 'run a schedule now',
      'schedule pause': 'pause a schedule',
      'schedule resume': 'resume a schedule',
      'schedule rm': 'remove a schedule',
    },
  ],
  [
    () => import('./commands/completion.ts'),
    { completion: 'completion for bash, zsh or fish', version: 'print the version of fleet', __complete: '' },
  ],
];

/** What the help says about words that only have subcommands. */
const GROUPS: Readonly<Record<string, string>> = {
  agent: 'Agents: programs on nodes that take prompts, such as coding assistants. docs/agents.md',
  gateway: 'The gateway of this home: the machine that nodes connect to.',
  invites: 'Open invites; fleet invite creates them.',
  keys: 'The keys of people and nodes that the gateway knows.',
  node: 'The node on this machine: runs the jobs that its gateway sends.',
  schedule: 'Jobs and reports that the gateway runs at certain times. docs/schedule.md',
};

const LOADERS = new Map(FILES.flatMap(([load, summaries]) => Object.keys(summaries).map((name) => [name, load])));
/** All but the hidden ones. */
const SUMMARIES = FILES.flatMap(([, summaries]) => Object.entries(summaries)).filter(([, summary]) => summary !== '');

export const COMMANDS: CommandRegistry = {
  groups: GROUPS,
  names: () => SUMMARIES.map(([name]) => name),
  subcommands: (word) => SUMMARIES.filter(([name]) => name.startsWith(`${word} `)),
  find(name) {
    const load = LOADERS.get(name);
    return load === undefined ? undefined : () => loadCommand(load, name);
  },
};

async function loadCommand(load: Load, name: string): Promise<Command> {
  const command = (await load()).commands.find((one) => one.name === name);
  if (command === undefined) throw new TypeError(`commands/ has no ${name}`);
  return command;
}
