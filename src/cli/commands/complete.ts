/** `fleet __complete`: what the scripts of completion-scripts.ts ask, with the words so far; the last one is the unfinished. */
import type { GatewayClient } from '../../client/gateway-client.ts';
import { sleep } from '../../shared/clock.ts';
import { scanArgs } from '../args/scan-args.ts';
import { type CommandRegistry, defineCommand, GLOBAL_OPTIONS, type OptionTable } from '../context/command.ts';
import { openGateway } from '../context/open-gateway.ts';
import { EXIT_OK } from '../output/exit-code.ts';

/** Options whose value is a selector or a name of nodes. */
const NODE_OPTIONS: ReadonlySet<string> = new Set(['on', 'exclude', 'node']);
const MAX_JOBS = 20;
/** Somebody waits with a finger on TAB, and a gateway elsewhere may be far away or gone, ms. */
const PATIENCE_MS = 2_000;

export const completeCommand = defineCommand({
  name: '__complete',
  usage: '-- WORD…',
  describe: 'Prints what may stand in the place of the last word. Made for the scripts of `fleet completion`.',
  positionals: [],
  passthrough: true,
  options: {},
  examples: [
    ['fleet __complete -- no', 'node, nodes'],
    ["fleet __complete -- run ''", 'names of nodes'],
  ],
  async execute(context, { words }, registry) {
    const current = words.at(-1) ?? '';
    const typed = words.slice(0, -1);
    const client = openGateway({ ...context, ...globalsOf(typed) });
    const patience = sleep(context.clock, PATIENCE_MS).then((): string[] => []);
    const candidates = await Promise.race([findCandidates({ typed, current, client, registry }), patience]);
    const fitting = [...new Set(candidates)].filter((candidate) => candidate.startsWith(current));
    context.out.write(fitting.map((candidate) => `${candidate}\n`).join(''));
    return EXIT_OK;
  },
});

/** The gateway that the unfinished command line names. */
function globalsOf(typed: readonly string[]): { gateway?: string } {
  const named = scanArgs(typed, GLOBAL_OPTIONS, 0).options.findLast(({ name }) => name === 'gateway')?.value;
  return named === undefined ? {} : { gateway: named };
}

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
    if (option?.type !== 'boolean') return NODE_OPTIONS.has(last.name) ? await nodeNames(client) : [];
  }
  if (current.startsWith('-')) return optionNames(table);
  const positional = command.positionals[scan.words.length];
  if (positional?.choices !== undefined) return [...positional.choices];
  if (positional?.name === 'NODE') return [...subcommands, ...(await nodeNames(client))];
  if (positional?.name === 'WHAT') return await alertTargets(client);
  if (positional?.name === 'JOB') return await jobIds(client);
  if (positional?.name === 'SCHEDULE') return await scheduleNames(client);
  return subcommands;
}

function optionNames(table: OptionTable): string[] {
  return Object.keys(table).map((name) => `--${name}`);
}

async function nodeNames(client: GatewayClient): Promise<string[]> {
  // Without a gateway there is nothing to offer, and in the middle of a line nowhere to say why.
  const nodes = await client.nodes().catch(() => []);
  return nodes.map((node) => node.name);
}

async function jobIds(client: GatewayClient): Promise<string[]> {
  const jobs = await client.jobs({ limit: MAX_JOBS }).catch(() => []);
  return jobs.map((job) => job.job);
}

async function scheduleNames(client: GatewayClient): Promise<string[]> {
  const schedules = await client.schedules().catch(() => []);
  return schedules.map(({ name }) => name);
}

async function alertTargets(client: GatewayClient): Promise<string[]> {
  const alerts = await client.alerts({ active: true }).catch(() => []);
  return [...alerts.flatMap(({ id, rule }) => [rule, id]), ...(await nodeNames(client))];
}
