/** `fleet --help`: one screen, the commands in groups. Written by hand, so that showing it loads nothing. */
import { GROUPS, subcommandsOf } from './commands.ts';

const ROOT_HELP = `Usage: fleet COMMAND [OPTIONS]

Run commands on machines that nobody can dial.
Each command tells more: fleet COMMAND --help

Run:
  run NODE COMMAND…               run a command on one node
  broadcast COMMAND…              run a command on many nodes
  jobs [show|logs|wait|cancel]    jobs of now and before

See and manage:
  nodes [show|rename|label|revoke|rm|pending|approve|reject]
  health [NODE], health report    how the nodes are, and how they were

Set up:
  gateway up|down|status|logs     the gateway of this home
  invite                          make a code that lets a machine join
  node up|down|status|logs        the node on this machine
  completion bash|zsh|fish        completion for a shell
  version                         the version of this program

Everywhere: --home DIR, --config FILE, --json, --debug, --help
`;

export function rootHelp(): string {
  return ROOT_HELP;
}

/** The help of a word that has subcommands only. */
export function groupHelp(word: string): string {
  const group = GROUPS[word];
  const commands = subcommandsOf(word);
  const examples = group?.examples ?? [];
  return [
    `Usage: fleet ${word} ${commands.map(([name]) => name.slice(word.length + 1)).join('|')}`,
    '',
    group?.describe ?? '',
    '',
    'Commands:',
    ...alignPairs(commands.map(([name, what]) => [`fleet ${name}`, what])),
    '',
    'Examples:',
    ...alignPairs(examples),
    '',
  ].join('\n');
}

function alignPairs(pairs: readonly (readonly [string, string])[]): string[] {
  const width = Math.max(...pairs.map(([left]) => left.length));
  return pairs.map(([left, right]) => `  ${left.padEnd(width)}  ${right}`);
}
