/** What a command consists of: name, options, examples, and what it does; and the options that all commands share. */
import type { CliContext } from './context.ts';

export interface Option {
  /** `list` may be given more than once. */
  readonly type: 'boolean' | 'string' | 'list';
  /** One letter. */
  readonly alias?: string;
  readonly describe: string;
  /** Stands for the value in the help, such as `DURATION`. */
  readonly placeholder?: string;
  readonly choices?: readonly string[];
  /** The value may begin with a dash, as one base64url text in 64 does; the next word is the value, whatever it looks like. */
  readonly dashed?: true;
}

export type OptionTable = Readonly<Record<string, Option>>;

export interface Positional {
  readonly name: string;
  readonly describe: string;
  readonly optional?: true;
  /** Takes all remaining words, at least one. Only for the last. */
  readonly many?: true;
  readonly choices?: readonly string[];
}

export type OptionValues<O extends OptionTable> = {
  readonly [K in keyof O]: O[K]['type'] extends 'boolean'
    ? boolean
    : O[K]['type'] extends 'list'
      ? readonly string[]
      : string | undefined;
};

type PositionalValues<P extends readonly Positional[]> = {
  readonly [Q in P[number] as Q['name']]: Q extends { many: true }
    ? readonly string[]
    : Q extends { optional: true }
      ? string | undefined
      : string;
};

interface Invocation<O extends OptionTable, P extends readonly Positional[]> {
  readonly options: OptionValues<O>;
  readonly positionals: PositionalValues<P>;
  /** With `passthrough`: the words of the command for a node. */
  readonly words: readonly string[];
}

interface CommandSpec<O extends OptionTable, P extends readonly Positional[]> {
  /** As typed: `run`, `nodes show`. */
  readonly name: string;
  /** What follows the name in the usage line, unless options and positionals say it all. */
  readonly usage?: string;
  /** What it does, for the help; several lines if need be. */
  readonly describe: string | readonly string[];
  readonly positionals?: P;
  /** Options end at the first word after the positionals, as with ssh; the rest is a command for a node. */
  readonly passthrough?: true;
  readonly options?: O;
  /** At least two, each with its purpose. */
  readonly examples: readonly (readonly [command: string, purpose: string])[];
  /** Resolves with the exit code. */
  execute(context: CliContext, invocation: Invocation<O, P>, registry: CommandRegistry): Promise<number>;
}

/** The invocation of a command of any type. */
export interface AnyInvocation {
  readonly options: Readonly<Record<string, boolean | string | readonly string[] | undefined>>;
  readonly positionals: Readonly<Record<string, string | readonly string[] | undefined>>;
  readonly words: readonly string[];
}

export interface Command {
  readonly name: string;
  readonly usage: string;
  readonly describe: string;
  readonly positionals: readonly Positional[];
  readonly passthrough?: true;
  readonly options: OptionTable;
  readonly examples: readonly (readonly [command: string, purpose: string])[];
  execute(context: CliContext, invocation: AnyInvocation, registry: CommandRegistry): Promise<number>;
}

/** All commands: their names and summaries for help and completion, and how to load each. */
export interface CommandRegistry {
  /** What a person can type, in the order of the help. */
  names(): string[];
  /** Names and summaries of the commands below `word`. */
  subcommands(word: string): (readonly [name: string, summary: string])[];
  /** Words that only have subcommands, and what their help says. */
  readonly groups: Readonly<Record<string, string>>;
  /** Loads a command; undefined when there is none of that name. */
  find(name: string): (() => Promise<Command>) | undefined;
}

/** Checks the types of options and positionals inside the command, and hides them outside. */
export function defineCommand<
  const O extends OptionTable = Record<never, Option>,
  const P extends readonly Positional[] = readonly [],
>(spec: CommandSpec<O, P>): Command {
  const { describe, options = {}, positionals = [], usage = usageOf(options, positionals) } = spec;
  const text = typeof describe === 'string' ? describe : describe.join('\n');
  return { ...spec, usage, describe: text, options, positionals } as unknown as Command;
}

function usageOf(options: OptionTable, positionals: readonly Positional[]): string {
  const words = positionals.map(({ name, optional }) => (optional ? `[${name}]` : name));
  return [...(Object.keys(options).length === 0 ? [] : ['[OPTIONS]']), ...words].join(' ');
}

export const NODE = { name: 'NODE', describe: 'Name, id or unique id prefix' } as const satisfies Positional;

/** Options of every command, before or after its name. */
export const GLOBAL_OPTIONS = {
  home: { type: 'string', placeholder: 'DIR', describe: 'Folder for all data (FLEET_HOME, ~/.fleet)' },
  config: { type: 'string', placeholder: 'FILE', describe: 'Config file (FLEET_CONFIG, HOME/config.yaml)' },
  gateway: {
    type: 'string',
    placeholder: '[USER@]HOST[:PORT]',
    describe: 'A remote gateway, after fleet login (FLEET_GATEWAY)',
  },
  json: { type: 'boolean', describe: 'Print one JSON document' },
  debug: { type: 'boolean', describe: 'Show stack traces of errors' },
  help: { type: 'boolean', alias: 'h', describe: 'Show this help' },
} as const satisfies OptionTable;
