/** yargs explains what is wrong with a command line, and writes the help. Loaded only for that (parse-command-line.ts). */

import type { Argv, Options } from 'yargs';
import yargs from 'yargs';
import { FleetError } from '../../shared/errors.ts';
import { closest } from '../../shared/text.ts';
import {
  type AnyInvocation,
  type Command,
  GLOBAL_OPTIONS,
  type OptionTable,
  type Positional,
} from '../context/command.ts';
import { alignPairs, formatExamples } from './help.ts';
import type { Scan } from './scan-args.ts';

const HELP_WIDTH = 100;

/** @throws FleetError `usage` with the mistake and a suggestion. */
export async function yargsArgs(command: Command, scan: Scan): Promise<Omit<AnyInvocation, 'words'>> {
  const table: OptionTable = { ...GLOBAL_OPTIONS, ...command.options };
  refuseFaultyOption(command, table, scan);
  refuseMissingWord(command, scan);
  for (const [index, { name, choices }] of command.positionals.entries()) {
    refuseOtherChoice(command, name, scan.words[index], choices);
  }
  let complaint: string | undefined;
  const parser = createParser(command).fail((message, error) => {
    complaint ??= message || error?.message;
  });
  const values: Record<string, unknown> = await parser.parseAsync(toTokens(scan));
  if (complaint !== undefined) {
    throw new FleetError('usage', `${command.name}: ${complaint.trim().replace(/\s*\n\s*/g, ' ')}`, {
      hint: `See: fleet ${command.name} --help`,
    });
  }
  const all = (name: string): unknown[] => [values[name]].flat().filter((value) => value !== undefined);
  const text = (value: unknown): string | undefined => (value === undefined ? undefined : String(value));
  const options = Object.entries(table).map(([name, { type }]) => {
    const given = all(name);
    if (type === 'list') return [name, given.map(String)];
    return [name, type === 'boolean' ? given.at(-1) === true : text(given.at(-1))];
  });
  const positionals = command.positionals.map(({ name, many }) => {
    return [name, many ? all(name).map(String) : text(all(name)[0])];
  });
  return { options: Object.fromEntries(options), positionals: Object.fromEntries(positionals) };
}

/** The text of `fleet COMMAND --help`. */
export async function helpOf(command: Command, subcommands: readonly (readonly [string, string])[]): Promise<string> {
  const more =
    subcommands.length === 0
      ? ''
      : `More:\n${alignPairs(subcommands.map(([name, what]) => [`fleet ${name}`, what]))}\n`;
  const parser = createParser(command)
    .fail(false)
    .epilogue(`${more}${formatExamples(command.examples)}`);
  return `${(await parser.getHelp()).trimEnd()}\n`;
}

function createParser(command: Command): Argv {
  const positionals = command.positionals.map(({ name, optional, many }) => {
    const inner = many ? `${name}..` : name;
    return optional ? `[${inner}]` : `<${inner}>`;
  });
  return yargs()
    .scriptName('fleet')
    .locale('en')
    .detectLocale(false)
    .exitProcess(false)
    .version(false)
    .help(false)
    .wrap(HELP_WIDTH)
    .strict()
    .parserConfiguration({
      'boolean-negation': false,
      'camel-case-expansion': false,
      'dot-notation': false,
      'greedy-arrays': false,
      'parse-numbers': false,
      'parse-positional-numbers': false,
      'short-option-groups': false,
    })
    .command(['$0', ...positionals].join(' '), false, (builder) => {
      for (const positional of command.positionals) builder.positional(positional.name, toYargsPositional(positional));
      return builder;
    })
    .usage(`Usage: fleet ${[command.name, command.usage].join(' ').trim()}\n\n${unwrap(command.describe)}`)
    .options(toYargsOptions(command.options, 'Options:'))
    .options(toYargsOptions(globalOptionsBeside(command), 'Everywhere:'));
}

/** Joins lines that continue on the next one: yargs wraps to the screen, and would leave their ends on separate lines. */
function unwrap(text: string): string {
  return text.replace(/([^.:])\n/g, '$1 ');
}

/** `node up` has its own --gateway. */
function globalOptionsBeside({ options }: Command): OptionTable {
  return Object.fromEntries(Object.entries(GLOBAL_OPTIONS).filter(([name]) => !Object.hasOwn(options, name)));
}

function toYargsPositional({ describe, choices, many }: Positional) {
  return { type: 'string', describe, ...(many ? { array: true } : {}), ...(choices ? { choices } : {}) } as const;
}

function toYargsOptions(table: OptionTable, group: string): Record<string, Options> {
  const options = Object.entries(table).map(([name, { type, alias, describe, choices, placeholder }]) => [
    name,
    {
      type: type === 'boolean' ? 'boolean' : 'string',
      describe: placeholder === undefined ? describe : `${placeholder}: ${describe}`,
      group,
      ...(type === 'boolean' ? {} : { nargs: 1, requiresArg: true }),
      ...(type === 'list' ? { array: true } : {}),
      ...(alias === undefined ? {} : { alias }),
      ...(choices === undefined ? {} : { choices }),
    } satisfies Options,
  ]);
  return Object.fromEntries(options);
}

/** The same arguments in the one form that yargs-parser does not reinterpret. */
function toTokens(scan: Scan): string[] {
  const options = scan.options.flatMap(({ name, value }) => {
    // Without =true, yargs-parser would take a following word `true` as the value.
    if (value === undefined) return [`--${name}=true`];
    return value.startsWith('-') ? [`--${name}=${value}`] : [`--${name}`, value];
  });
  return [...options, ...(scan.words.some((word) => word.startsWith('-')) ? ['--'] : []), ...scan.words];
}

/** Names the option as typed, with a suggestion. */
function refuseFaultyOption(command: Command, table: OptionTable, scan: Scan): void {
  for (const { name, typed, value, refused } of scan.options) {
    if (name === undefined) {
      const meant = typed.startsWith('--') ? closest(typed.slice(2), Object.keys(table)) : undefined;
      throw new FleetError('usage', `${command.name}: unknown option ${typed}`, {
        hint: meant === undefined ? `See: fleet ${command.name} --help` : `Did you mean --${meant}?`,
      });
    }
    const takesValue = table[name]?.type !== 'boolean';
    if (takesValue && value === undefined) {
      throw new FleetError('usage', `${command.name}: ${typed} needs a value`, {
        hint: refused === undefined ? undefined : `To use ${refused} as the value: --${name}=${refused}`,
      });
    }
    if (!takesValue && value !== undefined) throw new FleetError('usage', `${command.name}: ${typed} takes no value`);
    refuseOtherChoice(command, typed, value, table[name]?.choices);
  }
}

/** In our words, rather than those of yargs. */
function refuseOtherChoice(command: Command, what: string, value?: string, choices?: readonly string[]): void {
  if (value === undefined || choices === undefined || choices.includes(value)) return;
  throw new FleetError('usage', `${command.name}: invalid ${what}: ${JSON.stringify(value)}`, {
    hint: `Choose one of: ${choices.join(', ')}`,
  });
}

function refuseMissingWord(command: Command, scan: Scan): void {
  const missing = command.positionals.filter(({ optional }) => !optional)[scan.words.length];
  if (missing === undefined) return;
  throw new FleetError('usage', `${command.name}: ${missing.name} is missing`, {
    hint: `Usage: fleet ${command.name} ${command.usage}`,
  });
}
