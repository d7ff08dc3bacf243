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
import type { Scan } from './scan-args.ts';
import { alignPairs, formatExamples } from './values.ts';

const HELP_WIDTH = 100;

/** @throws FleetError `usage` with the mistake and a suggestion. */
export async function yargsArgs(command: Command, scan: Scan): Promise<Omit<AnyInvocation, 'words'>> {
  refuseFaultyOption(command, scan);
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
  const table: OptionTable = { ...GLOBAL_OPTIONS, ...command.options };
  const options: Record<string, boolean | string | string[] | undefined> = {};
  for (const [name, { type }] of Object.entries(table)) {
    const given = [values[name]].flat().filter((value) => value !== undefined);
    if (type === 'boolean') options[name] = given.at(-1) === true;
    else if (type === 'list') options[name] = given.map(String);
    else options[name] = given.length === 0 ? undefined : String(given.at(-1));
  }
  const positionals: Record<string, string | string[] | undefined> = {};
  for (const { name, many } of command.positionals) {
    const given = [values[name]].flat().filter((value) => value !== undefined);
    positionals[name] = many ? given.map(String) : given.length === 0 ? undefined : String(given[0]);
  }
  return { options, positionals };
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
  const entries = Object.entries(table).map(([name, option]): [string, Options] => {
    const { type, alias, describe, choices } = option;
    return [
      name,
      {
        type: type === 'boolean' ? 'boolean' : 'string',
        describe: option.placeholder === undefined ? describe : `${option.placeholder}: ${describe}`,
        group,
        ...(type === 'boolean' ? {} : { nargs: 1, requiresArg: true }),
        ...(type === 'list' ? { array: true } : {}),
        ...(alias === undefined ? {} : { alias }),
        ...(choices === undefined ? {} : { choices }),
      },
    ];
  });
  return Object.fromEntries(entries);
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
function refuseFaultyOption(command: Command, scan: Scan): void {
  const table: OptionTable = { ...GLOBAL_OPTIONS, ...command.options };
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
