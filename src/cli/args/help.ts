/** The texts of `--help`. Loaded only for them. */
import { type Command, type CommandRegistry, GLOBAL_OPTIONS, type OptionTable } from '../context/command.ts';

const HELP_WIDTH = 100;

/** `fleet --help`: one screen, the commands in groups. */
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

type Pairs = readonly (readonly [left: string, right: string])[];

/** The help of a word that has subcommands only, with the examples of the first one. */
export async function groupHelp(word: string, registry: CommandRegistry): Promise<string> {
  const commands = registry.subcommands(word);
  const usage = `Usage: fleet ${word} ${commands.map(([name]) => name.slice(word.length + 1)).join('|')}`;
  const first = await registry.find(commands[0]?.[0] ?? '')?.();
  const sections = [section('Commands', commands.map(prefixed)), examplesOf(first?.examples ?? [])];
  return [usage, registry.groups[word], ...sections].join('\n\n').concat('\n');
}

/** The text of `fleet COMMAND --help`. */
export function commandHelp(command: Command, registry: CommandRegistry): string {
  const { name, usage, describe, options, positionals, examples } = command;
  // `node up` has its own --gateway.
  const everywhere = Object.entries(GLOBAL_OPTIONS).filter(([global]) => !Object.hasOwn(options, global));
  const words = positionals.map((positional): [string, string] => [positional.name, withChoices(positional)]);
  // Lines that continue on the next one are joined, and wrapped to the screen.
  const text = describe.replace(/([^.:])\n/g, '$1 ').split('\n');
  return [
    `Usage: fleet ${name} ${usage}`.trim(),
    text.map((line) => wrap(line, HELP_WIDTH).join('\n')).join('\n'),
    section('Arguments', words),
    section('Options', optionPairs(options)),
    section('Everywhere', optionPairs(Object.fromEntries(everywhere))),
    section('More', registry.subcommands(name).map(prefixed)),
    examplesOf(examples),
  ]
    .filter((part) => part !== '')
    .join('\n\n')
    .concat('\n');
}

function prefixed([name, summary]: readonly [string, string]): [string, string] {
  return [`fleet ${name}`, summary];
}

function optionPairs(table: OptionTable): Pairs {
  return Object.entries(table).map(([name, option]) => {
    const short = option.alias === undefined ? '    ' : `-${option.alias}, `;
    return [`${short}--${name} ${option.placeholder ?? ''}`.trimEnd(), withChoices(option)];
  });
}

function withChoices({ describe, choices }: { describe: string; choices?: readonly string[] }): string {
  return choices === undefined ? describe : `${describe}: ${choices.join(', ')}`;
}

/** Two aligned columns below a heading; empty without pairs. */
function section(heading: string, pairs: Pairs): string {
  const width = Math.max(...pairs.map(([left]) => left.length));
  const lines = pairs.flatMap(([left, right]) =>
    wrap(right, HELP_WIDTH - width - 4).map((line, index) => `  ${(index === 0 ? left : '').padEnd(width)}  ${line}`),
  );
  return lines.length === 0 ? '' : [`${heading}:`, ...lines].join('\n');
}

/** Each below its purpose, ready to copy. */
function examplesOf(examples: Pairs): string {
  return ['Examples:', ...examples.map(([example, purpose]) => `  # ${purpose}\n  ${example}`)].join('\n');
}

function wrap(text: string, width: number): string[] {
  const lines: string[] = [];
  for (const word of text.split(' ')) {
    const last = lines.at(-1);
    if (last !== undefined && last.length + 1 + word.length <= width) lines[lines.length - 1] = `${last} ${word}`;
    else lines.push(word);
  }
  return lines;
}
