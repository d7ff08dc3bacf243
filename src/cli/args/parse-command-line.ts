/** From argv to a command and its arguments. Loads only that command. */
import { FleetError } from '../../shared/errors.ts';
import { closest, trimPasted } from '../../shared/text.ts';
import {
  type AnyInvocation,
  type Command,
  type CommandRegistry,
  GLOBAL_OPTIONS,
  type OptionTable,
  type Positional,
} from '../context/command.ts';
import { type Scan, scanArgs } from './scan-args.ts';

type ParsedCommandLine =
  | { kind: 'command'; command: Command; invocation: AnyInvocation }
  /** Requested help, or with `isError` help because no command was given. */
  | { kind: 'help'; text: string; isError: boolean };

/** @throws FleetError `usage`. */
export async function parseCommandLine(argv: readonly string[], registry: CommandRegistry): Promise<ParsedCommandLine> {
  const { words, before, after, wantsHelp } = findCommandWords(argv, registry);
  if (words === undefined) {
    const { ROOT_HELP } = await import('./help.ts');
    return { kind: 'help', text: ROOT_HELP, isError: !wantsHelp };
  }
  const load = registry.find(words);
  if (load === undefined) return await groupAnswer(words, [...before, ...after], registry);
  const command = await load();
  const maxWords = command.passthrough ? command.positionals.length : undefined;
  const table = { ...GLOBAL_OPTIONS, ...command.options };
  const scan = scanArgs([...before, ...after], table, maxWords);
  if (wantsHelp || scan.options.some(({ name }) => name === 'help')) {
    const { helpOf } = await import('./yargs-args.ts');
    return { kind: 'help', text: await helpOf(command, registry.subcommands(words)), isError: false };
  }
  if (scan.sound) refuseWordForSubcommand(command, scan.words, registry);
  const plain = quickArgs(scan, table, command.positionals);
  const parsed = trimValues(table, plain ?? (await (await import('./yargs-args.ts')).yargsArgs(command, scan)));
  refuseEmpty(command, parsed);
  return { kind: 'command', command, invocation: { ...parsed, words: scan.rest } };
}

/** Values that are taken literally, with their whitespace. */
const EXACT_PLACEHOLDERS: ReadonlySet<string | undefined> = new Set(['DIR', 'FILE', 'TEXT', 'KEY']);
/** With `--any`, the word in the place of AGENT belongs to the prompt. */
const EXACT_NAMES: ReadonlySet<string> = new Set(['env', 'AGENT']);

type Value = boolean | string | readonly string[] | undefined;

/** Strips what pasting adds to names, codes, addresses, labels and numbers. */
function trimValues(table: OptionTable, { options, positionals }: Omit<AnyInvocation, 'words'>) {
  const trim = <V extends Value>([name, value]: [string, V]): [string, V] => {
    if (EXACT_NAMES.has(name) || EXACT_PLACEHOLDERS.has(table[name]?.placeholder)) return [name, value];
    if (typeof value === 'string') return [name, trimPasted(value) as V];
    return [name, Array.isArray(value) ? (value.map(trimPasted) as readonly string[] as V) : value];
  };
  return {
    options: Object.fromEntries(Object.entries(options).map(trim)),
    positionals: Object.fromEntries(Object.entries(positionals).map(trim)),
  };
}

/** Usually an unset variable in a script; an empty --home would mean the current folder. */
function refuseEmpty(command: Command, { options, positionals }: Omit<AnyInvocation, 'words'>): void {
  const given = [
    ...command.positionals.map(({ name }) => [name, positionals[name]] as const),
    ...Object.entries(options).map(([name, value]) => [`--${name}`, value] as const),
  ];
  const empty = given.find(([, value]) => [value].flat().includes(''));
  if (empty === undefined) return;
  throw new FleetError('usage', `${command.name}: ${empty[0]} is empty`, {
    hint: 'Is a variable unset?',
  });
}

interface CommandWords {
  /** Undefined if none was typed. */
  words: string | undefined;
  /** Global options before or between the words. */
  before: string[];
  after: string[];
  wantsHelp: boolean;
}

/** `--home DIR jobs --json show J` is `jobs show`, and keeps its options. */
function findCommandWords(argv: readonly string[], registry: CommandRegistry): CommandWords {
  const first = scanArgs(argv, GLOBAL_OPTIONS, 0);
  const wantsHelp = first.options.some(({ name }) => name === 'help');
  const [typed, ...rest] = first.rest;
  const unknown = first.options.find(({ name }) => name === undefined);
  if (unknown?.typed === '--version' && typed === undefined)
    return { words: 'version', before: [], after: [], wantsHelp };
  if (unknown !== undefined) throw unknownOption(unknown.typed);
  const options = argv.slice(0, argv.length - first.rest.length).filter((arg) => arg !== '--');
  if (typed === undefined) return { words: undefined, before: options, after: [], wantsHelp };
  if (typed === 'help') return { ...findCommandWords([...options, ...rest], registry), wantsHelp: true };
  if (registry.find(typed) === undefined && !Object.hasOwn(registry.groups, typed))
    throw unknownCommand(typed, registry);
  if (registry.subcommands(typed).length === 0) return { words: typed, before: options, after: rest, wantsHelp };
  const second = scanArgs(rest, GLOBAL_OPTIONS, 0);
  const words = `${typed} ${second.rest[0]}`;
  if (registry.find(words) === undefined) return { words: typed, before: options, after: rest, wantsHelp };
  const between = rest.slice(0, rest.length - second.rest.length);
  return { words, before: [...options, ...between], after: second.rest.slice(1), wantsHelp };
}

/** `fleet gateway` is not a command: it only has subcommands. */
async function groupAnswer(
  words: string,
  args: readonly string[],
  registry: CommandRegistry,
): Promise<ParsedCommandLine> {
  const scan = scanArgs(args, GLOBAL_OPTIONS);
  const { groupHelp } = await import('./help.ts');
  const text = await groupHelp(words, registry);
  if (scan.options.some(({ name }) => name === 'help')) return { kind: 'help', text, isError: false };
  const [typed] = scan.words;
  if (typed === undefined) return { kind: 'help', text, isError: true };
  throw unknownSubcommand(words, typed, registry);
}

/** `fleet nodes shwo x`: the command takes no arguments, so the word must be a mistyped subcommand. */
function refuseWordForSubcommand(command: Command, words: readonly string[], registry: CommandRegistry): void {
  const [typed] = words;
  if (typed === undefined || command.positionals.length > 0 || registry.subcommands(command.name).length === 0) return;
  throw unknownSubcommand(command.name, typed, registry);
}

/** Names from other tools. By its letters, `nodes remove` would be corrected to `revoke`, which is something else. */
const SYNONYMS: readonly (readonly string[])[] = [
  ['list', 'ls', ''],
  ['rm', 'remove', 'delete', 'del', 'revoke', 'cancel'],
  ['show', 'get', 'describe', 'inspect', 'info'],
  ['up', 'start'],
  ['down', 'stop'],
];

function unknownSubcommand(group: string, typed: string, registry: CommandRegistry): FleetError {
  const known = registry.subcommands(group).map(([name]) => name.slice(group.length + 1));
  const words = registry.find(group) === undefined ? known : [...known, ''];
  const meant =
    SYNONYMS.find((row) => row.includes(typed))?.find((word) => words.includes(word)) ?? closest(typed, known);
  return new FleetError('usage', `unknown command: fleet ${group} ${typed}`, {
    hint: meant === undefined ? `Available: ${known.join(', ')}` : `Did you mean: fleet ${group} ${meant}`.trimEnd(),
  });
}

function unknownCommand(typed: string, registry: CommandRegistry): FleetError {
  const meant = closest(typed, new Set(registry.names().map((name) => name.split(' ')[0] ?? '')));
  return new FleetError('usage', `unknown command: fleet ${typed}`, {
    hint: meant === undefined ? 'List all commands: fleet --help' : `Did you mean: fleet ${meant}`,
  });
}

function unknownOption(typed: string): FleetError {
  const meant = closest(typed.replace(/^-+/, ''), Object.keys(GLOBAL_OPTIONS));
  return new FleetError('usage', `unknown option ${typed} before the command`, {
    hint:
      meant === undefined ? 'Options of a command come after its name; see fleet --help' : `Did you mean --${meant}?`,
  });
}

/**
 * Reads plain command lines without yargs, which takes longer to load than everything else in `fleet run`. yargs decides about
 * everything else: what is not plain, is wrong, or asks for help. A property test compares the two. Undefined: ask yargs.
 */
export function quickArgs(
  scan: Scan,
  table: OptionTable,
  positionals: readonly Positional[],
): Omit<AnyInvocation, 'words'> | undefined {
  if (!scan.sound) return undefined;
  const options: Record<string, boolean | string | string[] | undefined> = {};
  for (const [name, { type }] of Object.entries(table)) {
    options[name] = type === 'boolean' ? false : type === 'list' ? [] : undefined;
  }
  for (const { name = '', value } of scan.options) {
    const option = table[name];
    if (option === undefined || name === 'help') return undefined;
    if (option.type === 'boolean') {
      options[name] = true;
      continue;
    }
    if (value === undefined || !isChoice(value, option.choices)) return undefined;
    const present = options[name];
    if (Array.isArray(present)) present.push(value);
    else options[name] = value;
  }
  const words = assignWords(scan.words, positionals);
  return words === undefined ? undefined : { options, positionals: words };
}

function assignWords(
  words: readonly string[],
  positionals: readonly Positional[],
): Record<string, string | string[] | undefined> | undefined {
  const values: Record<string, string | string[] | undefined> = {};
  let used = 0;
  for (const { name, optional, many, choices } of positionals) {
    const taken = many ? words.slice(used) : words.slice(used, used + 1);
    if (taken.length === 0 && !optional) return undefined;
    if (taken.some((word) => word.startsWith('-') || !isChoice(word, choices))) return undefined;
    values[name] = many ? taken : taken[0];
    used += taken.length;
  }
  return used === words.length ? values : undefined;
}

function isChoice(value: string, choices: readonly string[] | undefined): boolean {
  return choices === undefined || choices.includes(value);
}
