/** `fleet completion`, what its scripts ask, and `fleet version`: fleet about itself. */
import type { GatewayClient } from '../../client/gateway-client.ts';
import { FLEET_VERSION, PROTOCOL_VERSION } from '../../protocol/version.ts';
import { sleep } from '../../shared/clock.ts';
import { scanArgs } from '../args/scan-args.ts';
import {
  type CommandRegistry,
  defineCommand,
  GLOBAL_OPTIONS,
  type OptionTable,
  openGateway,
} from '../context/command.ts';
import { EXIT_OK } from '../output/exit-code.ts';
import { printResult } from '../output/print.ts';

export const COMPLETION_SCRIPTS = {
  bash: `# fleet completion for bash: fleet completion bash > /etc/bash_completion.d/fleet
_fleet() {
  local IFS=$'\\n'
  COMPREPLY=($(fleet __complete -- "\${COMP_WORDS[@]:1:COMP_CWORD}" 2>/dev/null))
}
complete -o default -F _fleet fleet
`,
  zsh: `#compdef fleet
# fleet completion for zsh: fleet completion zsh > "\${fpath[1]}/_fleet"
_fleet() {
  local -a replies
  replies=("\${(@f)$(fleet __complete -- "\${(@)words[2,CURRENT]}" 2>/dev/null)}")
  if [[ -n "\${replies[1]}" ]]; then compadd -a replies; else _files; fi
}
if [[ "\${zsh_eval_context[-1]}" == loadautofunc ]]; then _fleet "$@"; else compdef _fleet fleet; fi
`,
  fish: `# fleet completion for fish: fleet completion fish > ~/.config/fish/completions/fleet.fish
complete -c fleet -a '(fleet __complete -- (commandline -opc)[2..-1] (commandline -ct) 2>/dev/null)'
`,
} as const;

const completion = defineCommand({
  name: 'completion',
  usage: 'bash|zsh|fish',
  describe: 'Prints a script that makes a shell complete commands, options, and the names of nodes and jobs.',
  positionals: [{ name: 'SHELL', describe: 'Which shell', choices: ['bash', 'zsh', 'fish'] }],
  examples: [
    ['source <(fleet completion bash)', 'for this bash only'],
    ['fleet completion fish > ~/.config/fish/completions/fleet.fish', 'for every fish'],
  ],
  async execute(context, { positionals }) {
    context.out.write(COMPLETION_SCRIPTS[positionals.SHELL as keyof typeof COMPLETION_SCRIPTS]);
    return EXIT_OK;
  },
});

/** Options whose value is a node name or selector. */
const NODE_OPTIONS: ReadonlySet<string> = new Set(['on', 'exclude', 'node']);
const MAX_JOBS = 20;
/** Longest wait for a gateway that may be far away or gone: a person has just pressed TAB, ms. */
const PATIENCE_MS = 2_000;

/** What the scripts ask, with the words so far; the last one is unfinished. */
const complete = defineCommand({
  name: '__complete',
  usage: '-- WORD…',
  describe: 'Prints candidates for the last word. Used by the scripts of `fleet completion`.',
  passthrough: true,
  examples: [
    ['fleet __complete -- no', 'node, nodes'],
    ["fleet __complete -- run ''", 'names of nodes'],
  ],
  async execute(context, { words }, registry) {
    const current = words.at(-1) ?? '';
    const typed = words.slice(0, -1);
    const { options } = scanArgs(typed, GLOBAL_OPTIONS, 0);
    const gateway = options.findLast(({ name }) => name === 'gateway')?.value ?? context.gateway;
    const client = openGateway({ ...context, gateway });
    const patience = sleep(context.clock, PATIENCE_MS).then((): string[] => []);
    const candidates = await Promise.race([findCandidates({ typed, current, client, registry }), patience]);
    const fitting = [...new Set(candidates)].filter((candidate) => candidate.startsWith(current));
    context.out.write(fitting.map((candidate) => `${candidate}\n`).join(''));
    return EXIT_OK;
  },
});

interface Unfinished {
  typed: readonly string[];
  current: string;
  client: GatewayClient;
  registry: CommandRegistry;
}

async function findCandidates({ typed, current, client, registry }: Unfinished): Promise<string[]> {
  const words = scanArgs(typed, GLOBAL_OPTIONS, 0).rest;
  const [first] = words;
  if (first === undefined) {
    return current.startsWith('-')
      ? optionNames(GLOBAL_OPTIONS)
      : registry.names().map((name) => name.split(' ')[0] ?? '');
  }
  const below = registry.names().filter((name) => name.startsWith(`${first} `));
  const name = below.find((candidate) => candidate === `${first} ${words[1]}`) ?? first;
  const subcommands = words.length === 1 ? below.map((candidate) => candidate.slice(first.length + 1)) : [];
  const command = await registry.find(name)?.();
  if (command === undefined) return subcommands;
  const table: OptionTable = { ...GLOBAL_OPTIONS, ...command.options };
  const args = words.slice(name.split(' ').length);
  const maxWords = command.passthrough ? command.positionals.length : undefined;
  const scan = scanArgs(args, table, maxWords);
  if (scan.rest.length > 0) return [];
  const last = scan.options.at(-1);
  if (last?.name !== undefined && last.value === undefined && args.at(-1)?.startsWith('-')) {
    const option = table[last.name];
    if (option?.choices !== undefined) return [...option.choices];
    if (option?.type !== 'boolean')
      return (NODE_OPTIONS.has(last.name) && (await NAMES.NODE?.(client).catch(() => []))) || [];
  }
  if (current.startsWith('-')) return optionNames(table);
  const positional = command.positionals[scan.words.length];
  if (positional?.choices !== undefined) return [...positional.choices];
  const named = await NAMES[positional?.name ?? '']?.(client).catch((): [] => []);
  return positional?.name === 'NODE' ? [...subcommands, ...(named ?? [])] : (named ?? subcommands);
}

function optionNames(table: OptionTable): string[] {
  return Object.keys(table).map((name) => `--${name}`);
}

/** Candidates for an argument. Without a gateway there are none, and no place to say why in the middle of a line. */
const NAMES: Readonly<Record<string, (client: GatewayClient) => Promise<string[]>>> = {
  NODE: async (client) => (await client.nodes()).map(({ name }) => name),
  JOB: async (client) => (await client.jobs({ limit: MAX_JOBS })).map(({ job }) => job),
  SCHEDULE: async (client) => (await client.schedules()).map(({ name }) => name),
  WHAT: async (client) => {
    const [alerts, nodes] = await Promise.all([client.alerts({ active: true }), client.nodes()]);
    return [...alerts.flatMap(({ id, rule }) => [rule, id]), ...nodes.map(({ name }) => name)];
  },
};

const version = defineCommand({
  name: 'version',
  describe: 'Prints the version of fleet.',
  examples: [
    ['fleet version', 'for people'],
    ['fleet version --json', 'with the protocol version'],
  ],
  async execute(context) {
    const versions = { version: FLEET_VERSION, protocol: PROTOCOL_VERSION };
    return printResult(context, versions, () => `fleet ${FLEET_VERSION}\n`);
  },
});

export const commands = [completion, complete, version];
