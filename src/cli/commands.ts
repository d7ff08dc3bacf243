/** The table of all commands: names and one line each, and where the rest is. Nothing of a command is loaded until it is meant. */
import type { Command } from './command.ts';

/** What the help and the completion show; `commands/` has the details. Order is that of the help. */
const SUMMARIES: Readonly<Record<string, string>> = {
  'gateway up': 'start the gateway in this home',
  'gateway down': 'stop it',
  'gateway status': 'how it is',
  'gateway logs': 'what it did',
  'gateway reload': 'read the configuration anew',
  'gateway rotate-key': 'replace the key that signs tokens and tickets',
  'node up': 'pair this machine when it must, then keep its tunnel',
  'node down': 'stop the node',
  'node status': 'how it is',
  'node logs': 'what it did',
  'node rotate-key': 'replace the key of the node',
  login: 'use a gateway from this machine',
  logout: 'forget a gateway',
  invite: 'make a code that lets a machine or a person join',
  'invites list': 'the codes that can still be used',
  'invites revoke': 'make a code void',
  'keys list': 'whose keys the gateway knows',
  'keys revoke': 'refuse a key from now on',
  nodes: 'list the nodes',
  'nodes show': 'all about one node',
  'nodes rename': 'give a node another name',
  'nodes label': 'set or remove labels of a node',
  'nodes revoke': "refuse a node's key from now on",
  'nodes reset': 'say that a doubled key was looked into',
  'nodes rm': 'forget a node',
  'nodes pending': 'machines that wait for approval',
  'nodes approve': 'let a waiting machine in',
  'nodes reject': 'turn a waiting machine away',
  run: 'run a command on one node',
  broadcast: 'run a command on many nodes',
  'agent run': 'give a prompt to an agent of a node',
  agents: 'list the agents of the nodes',
  jobs: 'list the latest jobs',
  'jobs show': 'what became of a job',
  'jobs logs': 'the output of a job',
  'jobs wait': 'wait for the end of a job',
  'jobs cancel': 'end a job',
  health: 'how the nodes are, worst first',
  'health report': 'how they were over a period, made for cron',
  alerts: 'what is wrong or was, and who was told',
  'alerts silence': 'tell nobody of a rule, node or alert for a while',
  'alerts unsilence': 'end a silence',
  'alerts silences': 'what is silenced',
  'alerts test': 'send a test to the receivers',
  audit: 'who did what, when and from where',
  'audit verify': 'whether the audit log is whole',
  'audit export': 'write the audit log to a file',
  top: 'the nodes, live',
  'schedule add': 'do something at certain times',
  'schedule list': 'list what is scheduled',
  'schedule show': 'all about one schedule',
  'schedule history': 'what became of its times',
  'schedule run': 'do it now, too',
  'schedule pause': 'let it rest',
  'schedule resume': 'let it go on',
  'schedule rm': 'remove it',
  completion: 'completion for bash, zsh or fish',
  version: 'the version of this program',
};

export const COMMANDS: Readonly<Record<string, () => Promise<Command>>> = {
  run: async () => (await import('./commands/run.ts')).runCommand,
  broadcast: async () => (await import('./commands/broadcast.ts')).broadcastCommand,
  'agent run': async () => (await import('./commands/agent-run.ts')).agentRunCommand,
  agents: async () => (await import('./commands/agents.ts')).agentsCommand,
  'gateway up': async () => (await import('./commands/gateway-up.ts')).gatewayUpCommand,
  'gateway down': async () => (await import('./commands/gateway-down.ts')).gatewayDownCommand,
  'gateway status': async () => (await import('./commands/gateway-status.ts')).gatewayStatusCommand,
  'gateway reload': async () => (await import('./commands/gateway-reload.ts')).gatewayReloadCommand,
  'gateway rotate-key': async () => (await import('./commands/gateway-rotate-key.ts')).gatewayRotateKeyCommand,
  'gateway logs': async () => (await import('./commands/gateway-logs.ts')).gatewayLogsCommand,
  'node up': async () => (await import('./commands/node-up.ts')).nodeUpCommand,
  'node down': async () => (await import('./commands/node-down.ts')).nodeDownCommand,
  'node status': async () => (await import('./commands/node-status.ts')).nodeStatusCommand,
  'node rotate-key': async () => (await import('./commands/node-rotate-key.ts')).nodeRotateKeyCommand,
  'node logs': async () => (await import('./commands/node-logs.ts')).nodeLogsCommand,
  login: async () => (await import('./commands/login.ts')).loginCommand,
  logout: async () => (await import('./commands/logout.ts')).logoutCommand,
  'invites list': async () => (await import('./commands/invites-list.ts')).invitesListCommand,
  'invites revoke': async () => (await import('./commands/invites-revoke.ts')).invitesRevokeCommand,
  'keys list': async () => (await import('./commands/keys-list.ts')).keysListCommand,
  'keys revoke': async () => (await import('./commands/keys-revoke.ts')).keysRevokeCommand,
  invite: async () => (await import('./commands/invite.ts')).inviteCommand,
  nodes: async () => (await import('./commands/nodes.ts')).nodesCommand,
  'nodes show': async () => (await import('./commands/nodes-show.ts')).nodesShowCommand,
  'nodes rename': async () => (await import('./commands/nodes-rename.ts')).nodesRenameCommand,
  'nodes label': async () => (await import('./commands/nodes-label.ts')).nodesLabelCommand,
  'nodes revoke': async () => (await import('./commands/nodes-revoke.ts')).nodesRevokeCommand,
  'nodes reset': async () => (await import('./commands/nodes-reset.ts')).nodesResetCommand,
  'nodes rm': async () => (await import('./commands/nodes-rm.ts')).nodesRmCommand,
  'nodes pending': async () => (await import('./commands/nodes-pending.ts')).nodesPendingCommand,
  'nodes approve': async () => (await import('./commands/nodes-approve.ts')).nodesApproveCommand,
  'nodes reject': async () => (await import('./commands/nodes-reject.ts')).nodesRejectCommand,
  jobs: async () => (await import('./commands/jobs.ts')).jobsCommand,
  'jobs show': async () => (await import('./commands/jobs-show.ts')).jobsShowCommand,
  'jobs logs': async () => (await import('./commands/jobs-logs.ts')).jobsLogsCommand,
  'jobs wait': async () => (await import('./commands/jobs-wait.ts')).jobsWaitCommand,
  'jobs cancel': async () => (await import('./commands/jobs-cancel.ts')).jobsCancelCommand,
  health: async () => (await import('./commands/health.ts')).healthCommand,
  'health report': async () => (await import('./commands/health-report.ts')).healthReportCommand,
  audit: async () => (await import('./commands/audit.ts')).auditCommand,
  'audit verify': async () => (await import('./commands/audit-verify.ts')).auditVerifyCommand,
  'audit export': async () => (await import('./commands/audit-export.ts')).auditExportCommand,
  top: async () => (await import('./commands/top.ts')).topCommand,
  'schedule add': async () => (await import('./commands/schedule-add.ts')).scheduleAddCommand,
  'schedule list': async () => (await import('./commands/schedule-list.ts')).scheduleListCommand,
  'schedule show': async () => (await import('./commands/schedule-show.ts')).scheduleShowCommand,
  'schedule history': async () => (await import('./commands/schedule-history.ts')).scheduleHistoryCommand,
  'schedule run': async () => (await import('./commands/schedule-run.ts')).scheduleRunCommand,
  'schedule pause': async () => (await import('./commands/schedule-pause.ts')).schedulePauseCommand,
  'schedule resume': async () => (await import('./commands/schedule-resume.ts')).scheduleResumeCommand,
  'schedule rm': async () => (await import('./commands/schedule-rm.ts')).scheduleRmCommand,
  alerts: async () => (await import('./commands/alerts.ts')).alertsCommand,
  'alerts silence': async () => (await import('./commands/alerts-silence.ts')).alertsSilenceCommand,
  'alerts unsilence': async () => (await import('./commands/alerts-unsilence.ts')).alertsUnsilenceCommand,
  'alerts silences': async () => (await import('./commands/alerts-silences.ts')).alertsSilencesCommand,
  'alerts test': async () => (await import('./commands/alerts-test.ts')).alertsTestCommand,
  completion: async () => (await import('./commands/completion.ts')).completionCommand,
  __complete: async () => (await import('./commands/complete.ts')).completeCommand,
  version: async () => (await import('./commands/version.ts')).versionCommand,
};

/** Words that have subcommands and do nothing by themselves, with two examples for their help. */
export const GROUPS: Readonly<Record<string, { describe: string; examples: readonly (readonly [string, string])[] }>> =
  {
    agent: {
      describe: 'Agents: programs on nodes that take prompts, such as coding assistants. docs/agents.md',
      examples: [
        ["fleet agent run node-1 coder 'fix the failing test'", 'give one a prompt'],
        ['fleet agents', 'see who has which'],
      ],
    },
    gateway: {
      describe: 'The gateway of this home: the machine in the cloud that nodes connect to.',
      examples: [
        ['fleet gateway up --detach', 'start it in the background'],
        ['fleet gateway status', 'see whether it runs'],
      ],
    },
    invites: {
      describe: 'Codes that can still be used; fleet invite makes them.',
      examples: [
        ['fleet invites list', 'what is open'],
        ['fleet invites revoke 7k3f', 'take one back'],
      ],
    },
    keys: {
      describe: 'The keys of people and nodes that the gateway knows.',
      examples: [
        ['fleet keys list', 'who may come in, and when they last did'],
        ['fleet keys revoke anna', 'not any more'],
      ],
    },
    node: {
      describe: 'The node on this machine: takes jobs from its gateway.',
      examples: [
        ['fleet node up --gateway gw.example.org --code 7k3f-9m2q-x0zt-4hcv', 'join a fleet'],
        ['fleet node status', 'see whether it is connected'],
      ],
    },
    schedule: {
      describe: 'What the gateway does at certain times: jobs and reports. docs/schedule.md',
      examples: [
        ["fleet schedule add '0 3 * * *' -- broadcast --expires 6h /usr/local/bin/backup", 'every night'],
        ['fleet schedule list', 'see what is scheduled'],
      ],
    },
  };

/** What loads that command; undefined when there is none. */
export function findCommand(name: string): (() => Promise<Command>) | undefined {
  return Object.hasOwn(COMMANDS, name) ? COMMANDS[name] : undefined;
}

/** Names and summaries of the commands below `word`. */
export function subcommandsOf(word: string): (readonly [string, string])[] {
  return Object.entries(SUMMARIES).filter(([name]) => name.startsWith(`${word} `));
}

/** All that a person may type, in the order of the help. */
export function commandNames(): string[] {
  return Object.keys(SUMMARIES);
}
