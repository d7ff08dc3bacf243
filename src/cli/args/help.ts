/** The texts of --help that load no parser: the whole program, a word with subcommands, examples. */
import type { CommandRegistry } from '../context/command.ts';

/** `fleet --help`: one screen, the commands in groups. Written by hand, so that it loads nothing else. */
export const ROOT_HELP = `Usage: fleet COMMAND [OPTIONS]

Run commands on machines you can't reach directly. More: fleet COMMAND --help

Run:
  run NODE COMMAND…               run a command on one node
  broadcast COMMAND…              run a command on many nodes
  agent run, agents               send a prompt to an agent; list agents
  jobs [show|logs|wait|cancel]    current and past jobs

See and manage:
  nodes [show|rename|label|revoke|reset|rm|pending|approve|reject]
  audit [verify|export]           who did what, when and from where
  health [NODE|report], top, alerts [silence|unsilence|silences|test]
  schedule [add|list|show|history|run|pause|resume|rm]    timed jobs and reports

Set up:
  gateway up|down|status|logs|reload|rotate-key; node: the same without reload
  invite, invites list|revoke     codes that let machines and people join
  login HOST, logout              use a remote gateway
  keys list|revoke                keys of people and nodes
  completion bash|zsh|fish, version

Everywhere: --home DIR, --gateway HOST, --config FILE, --json, --debug, --help
`;

/** The help of a word that has subcommands only, with the examples of the first. */
export async function groupHelp(word: string, registry: CommandRegistry): Promise<string> {
  const commands = registry.subcommands(word);
  const pairs = commands.map(([name, what]) => [`fleet ${name}`, what] as const);
  const usage = `Usage: fleet ${word} ${commands.map(([name]) => name.slice(word.length + 1)).join('|')}`;
  const first = await registry.find(commands[0]?.[0] ?? '')?.();
  const examples = formatExamples(first?.examples ?? []);
  return `${usage}\n\n${registry.groups[word]}\n\nCommands:\n${alignPairs(pairs)}\n${examples}`;
}

/** Each below its purpose, ready to copy. */
export function formatExamples(examples: readonly (readonly [example: string, purpose: string])[]): string {
  return `Examples:\n${examples.map(([example, purpose]) => `  # ${purpose}\n  ${example}\n`).join('')}`;
}

export function alignPairs(pairs: readonly (readonly [left: string, right: string])[]): string {
  const width = Math.max(...pairs.map(([left]) => left.length));
  return pairs.map(([left, right]) => `  ${left.padEnd(width)}  ${right}\n`).join('');
}
