/** From argv to a command and its arguments. Loads only that command. */

import { FleetError } from '../../shared/errors.ts';
import { closest, trimPasted } from '../../shared/text.ts';
import {
  type AnyInvocation,
  type Command,
  type CommandRegistry,
  GLOBAL_OPTIONS,
  type OptionTable,
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
    const { commandHelp } = await import('./help.ts');
    return { kind: 'help', text: commandHelp(command, registry), isError: false };
  }
  const options = readOptions(command, table, scan);
  if (command.positionals.length === 0) refuseWordForSubcommand(command, scan.words, registry);
  const positionals = readWords(command, scan);
  return { kind: 'command', command, invocation: { options, positionals, words: scan.rest } };
}

function usageError(command: Command, message: string, hint = `See: fleet ${command.name} --help`): FleetError {
  return new FleetError('usage', `${command.name}: ${message}`, { hint });
}

/** The options by their full names; those not given are false, an empty list, or undefined. */
function readOptions(command: Command, table: OptionTable, scan: Scan): AnyInvocation['options'] {
  const options: Record<string, boolean | string | string[] | undefined> = {};
  for (const [name, { type }] of Object.entries(table)) {
    options[name] = type === 'boolean' ? false : type === 'list' ? [] : undefined;
  }
  for (const { name, typed, value, refused } of scan.options) {
    const option = name === undefined ? undefined : table[name];
    if (name === undefined || option === undefined) {
      const meant = typed.startsWith('--') ? closest(typed.slice(2), Object.keys(table)) : undefined;
      throw usageError(command, `unknown option ${typed}`, meant && `Did you mean --${meant}?`);
    }
    if (option.type === 'boolean') {
      if (value !== undefined) throw usageError(command, `${typed} takes no value`);
      options[name] = true;
      continue;
    }
    if (value === undefined) {
      throw usageError(
        command,
        `${typed} needs a value`,
        refused && `To use ${refused} as the value: --${name}=${refused}`,
      );
    }
    const exact = EXACT_PLACEHOLDERS.has(option.placeholder) || EXACT_NAMES.has(name);
    const read = readValue(command, typed, value, { choices: option.choices, exact });
    const present = options[name];
    if (Array.isArray(present)) present.push(read);
    else options[name] = read;
  }
  return options;
}

function readWords(command: Command, { words }: Scan): AnyInvocation['positionals'] {
  const positionals: Record<string, string | string[] | undefined> = {};
  const left = [...words];
  for (const { name, optional, many, choices } of command.positionals) {
    const taken = left.splice(0, many ? left.length : 1);
    if (taken.length === 0 && !optional) {
      throw usageError(command, `${name} is missing`, `Usage: fleet ${command.name} ${command.usage}`);
    }
    const read = taken.map((word) => readValue(command, name, word, { choices, exact: EXACT_NAMES.has(name) }));
    positionals[name] = many ? read : read[0];
  }
  if (left[0] !== undefined) throw usageError(command, `unexpected argument: ${left[0]}`);
  return positionals;
}

/** Values that are taken literally, with their whitespace. */
const EXACT_PLACEHOLDERS: ReadonlySet<string | undefined> = new Set(['DIR', 'FILE', 'TEXT', 'KEY']);
/** With `--any`, the word in the place of AGENT belongs to the prompt. */
const EXACT_NAMES: ReadonlySet<string> = new Set(['env', 'AGENT']);

/** Strips what pasting adds to names, codes, addresses, labels and numbers, unless the value is `exact`. */
function readValue(
  command: Command,
  what: string,
  value: string,
  { choices, exact }: { choices: readonly string[] | undefined; exact: boolean },
): string {
  const read = exact ? value : trimPasted(value);
  // An empty --home would mean the current folder.
  if (read === '') throw usageError(command, `${what} is empty`, 'Is a variable unset?');
  if (choices === undefined || choices.includes(read)) return read;
  throw usageError(command, `invalid ${what}: ${JSON.stringify(value)}`, `Choose one of: ${choices.join(', ')}`);
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
  if (typed === undefined || registry.subcommands(command.name).length === 0) return;
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
