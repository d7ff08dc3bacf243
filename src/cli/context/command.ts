/** What a command of the command line is made of: words, options, examples, and what it does. */
import type { CliContext } from './context.ts';

export interface Option {
  /** `list` may be given more than once. */
  readonly type: 'boolean' | 'string' | 'list';
  /** One letter. */
  readonly alias?: string;
  readonly describe: string;
  /** What stands for the value in the help, such as `DURATION`. */
  readonly placeholder?: string;
  readonly choices?: readonly string[];
  /** Its values may begin with a dash, as one base64url text in 64 does; what follows is the value, whatever it looks like. */
  readonly dashed?: true;
}

export type OptionTable = Readonly<Record<string, Option>>;

export interface Positional {
  readonly name: string;
  readonly describe: string;
  readonly optional?: true;
  /** Takes all that is left, one or more. Only the last can. */
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

export type PositionalValues<P extends readonly Positional[]> = {
  readonly [Q in P[number] as Q['name']]: Q extends { many: true }
    ? readonly string[]
    : Q extends { optional: true }
      ? string | undefined
      : string;
};

export interface Invocation<O extends OptionTable, P extends readonly Positional[]> {
  readonly options: OptionValues<O>;
  readonly positionals: PositionalValues<P>;
  /** The words of the command for a node, when the spec is `passthrough`. */
  readonly words: readonly string[];
}

export interface CommandSpec<O extends OptionTable, P extends readonly Positional[]> {
  /** As they are typed: `run`, `nodes show`. */
  readonly name: string;
  /** What follows the name in the usage line. */
  readonly usage: string;
  /** What it does, for the help; may have several lines. */
  readonly describe: string;
  readonly positionals: P;
  /** Options end at the first word behind the positionals, as with ssh; from there on everything is a command for a node. */
  readonly passthrough?: true;
  readonly options: O;
  /** At least two, each with what it is for. */
  readonly examples: readonly (readonly [command: string, purpose: string])[];
  /** Resolves with the exit code. */
  execute(context: CliContext, invocation: Invocation<O, P>, registry: CommandRegistry): Promise<number>;
}

/** What was given to a command whose own types are forgotten. */
export interface AnyInvocation {
  readonly options: Readonly<Record<string, boolean | string | readonly string[] | undefined>>;
  readonly positionals: Readonly<Record<string, string | readonly string[] | undefined>>;
  readonly words: readonly string[];
}

export interface Command extends Omit<CommandSpec<OptionTable, readonly Positional[]>, 'execute'> {
  execute(context: CliContext, invocation: AnyInvocation, registry: CommandRegistry): Promise<number>;
}

/** All commands: their names and summaries for help and completion, and how to load each. */
export interface CommandRegistry {
  /** What a person can type, in the order of the help. */
  names(): string[];
  /** Names and summaries of the commands below `word`. */
  subcommands(word: string): (readonly [name: string, summary: string])[];
  /** Words that only have subcommands, with two examples for their help. */
  readonly groups: Readonly<Record<string, CommandGroup>>;
  /** Loads a command; undefined when there is none of that name. */
  find(name: string): (() => Promise<Command>) | undefined;
}

export interface CommandGroup {
  readonly describe: string;
  readonly examples: Command['examples'];
}

/** Keeps the types of options and positionals inside the command, and forgets them outside. */
export function defineCommand<const O extends OptionTable, const P extends readonly Positional[]>(
  spec: CommandSpec<O, P>,
): Command {
  return spec as unknown as Command;
}

export const GLOBAL_OPTIONS = {
  home: { type: 'string', placeholder: 'DIR', describe: 'Folder that holds everything (FLEET_HOME, ~/.fleet)' },
  config: { type: 'string', placeholder: 'FILE', describe: 'Config file (FLEET_CONFIG, HOME/config.yaml)' },
  gateway: {
    type: 'string',
    placeholder: '[USER@]HOST[:PORT]',
    describe: 'A gateway elsewhere, after fleet login (FLEET_GATEWAY)',
  },
  json: { type: 'boolean', describe: 'Print one JSON document' },
  debug: { type: 'boolean', describe: 'Show the stack of an error' },
  help: { type: 'boolean', alias: 'h', describe: 'Show this help' },
} as const satisfies OptionTable;
