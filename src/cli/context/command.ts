/** What a command consists of, and what it can use: the process as bin.ts hands it over, this invocation's options, and the gateway. */
import { existsSync } from 'node:fs';
import type { Readable } from 'node:stream';
import { GatewayClient } from '../../client/gateway-client.ts';
import type { GatewayTransport } from '../../client/transport.ts';
import type { Clock, Timer } from '../../shared/clock.ts';
import { FleetError } from '../../shared/errors.ts';
import { gatewayPaths, personPaths } from '../../shared/home.ts';
import { readIfExists } from '../../shared/read-file.ts';
import { trimPasted } from '../../shared/text.ts';
import type { OutputPort, OutputStream } from '../output/print.ts';
import type { Services } from './services.ts';

interface Option {
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

export type SignalName = 'SIGINT' | 'SIGTERM' | 'SIGHUP';

interface Signals {
  /** Handles the signals instead of the system's default until the returned function is called. */
  listen(names: readonly SignalName[], listener: (name: SignalName) => void): () => void;
  /** Whether this process was started with SIGHUP ignored, as nohup(1) does: then nothing must listen to it. */
  hangupIgnored?(): boolean;
  /** For commands that change the terminal. */
  jobControl?(terminal: TerminalUse): JobControl;
}

export interface TerminalUse {
  /** Restores the terminal before this process is stopped. */
  leave(): void;
  /** Takes the terminal again when this process continues, even if it was stopped without notice. */
  comeBack(): void;
}

export interface JobControl {
  /** Stops the whole job, as Ctrl-Z does outside raw mode. */
  stop(): void;
  /** Restores the system's default for signals. */
  end(): void;
}

/** What a process started with --detach reports to the one that waits for it. */
export type DetachedMessage =
  | { ready: { readyLine: string; info: object } }
  | { note: string }
  /** It is not up yet, and keeps trying. */
  | { trying: { code: string; message: string; hint?: string } }
  | { failed: { code: string; message: string; hint?: string }; exitCode: number };

/** stdin; a terminal can deliver each key as it is pressed. */
export type InputStream = Readable & { isTTY?: boolean; setRawMode?(raw: boolean): unknown };

/** The process, as bin.ts hands it over. */
export interface World {
  env: Readonly<Record<string, string | undefined>>;
  /** Opened on demand: a command that does not read stdin must not touch it. */
  openStdin(): InputStream;
  /** The kind of stdin, without touching it; an empty file is `other`. */
  stdinKind?(): 'file' | 'pipe' | 'folder' | 'other';
  /** The arguments or environment of this process as raw bytes; undefined where the system does not provide them. */
  osBytes(what: 'cmdline' | 'environ'): Buffer | undefined;
  stdout: OutputStream;
  stderr: OutputStream;
  clock: Clock;
  /** Uniform in [0, 1). */
  random(): number;
  signals: Signals;
  services: Services;
  pid: number;
  userHome(): string;
  hostname(): string;
  /** How to start this program. */
  self: { file: string; args: readonly string[] };
  /** Reports to the process that started this one with --detach, if any. */
  reportToParent: ((message: DetachedMessage) => Promise<void>) | undefined;
  isAlive(pid: number): boolean;
}

export interface CliContext extends Omit<World, 'stdout' | 'stderr'> {
  /** Its `now` is the gateway's, once the gateway has answered. */
  clock: GatewayTime;
  /** Absolute. */
  home: string;
  configFile: string | undefined;
  /** The value of --gateway. */
  gateway: string | undefined;
  /** Opens the way to a remote gateway, one connection however many clients use it. */
  openRemote(gateway: string): Promise<GatewayTransport>;
  json: boolean;
  out: OutputPort;
  err: OutputPort;
  /** Everything after the program's name, as typed. */
  argv: readonly string[];
}

/** Smaller differences are ignored, ms: latency and a busy machine explain them. */
const NEAR_MS = 2_000;

/** Largest value of a Date (ECMA-262, 21.4.1.1), ms. */
const MAX_DATE_MS = 8.64e15;

export class GatewayTime implements Clock {
  readonly #own: Clock;
  #aheadMs = 0;

  constructor(own: Clock) {
    this.#own = own;
  }

  /** Takes the gateway's time from its answer, ms since the epoch; NaN if it sent none. */
  learn(gatewayMs: number): void {
    if (!(Math.abs(gatewayMs) <= MAX_DATE_MS)) return;
    const aheadMs = gatewayMs - this.#own.now();
    this.#aheadMs = Math.abs(aheadMs) < NEAR_MS ? 0 : aheadMs;
  }

  /** This machine's time, for times counted back before the gateway has answered. */
  own(): number {
    return this.#own.now();
  }

  now(): number {
    return this.#own.now() + this.#aheadMs;
  }

  monotonic(): number {
    return this.#own.monotonic();
  }

  after(delayMs: number, callback: () => void, options?: { unref?: boolean }): Timer {
    return this.#own.after(delayMs, callback, options);
  }
}

/** The remote gateway, as typed or remembered; undefined for this home's own. */
export function chooseRemote({ home, gateway, env }: Pick<CliContext, 'home' | 'gateway' | 'env'>): string | undefined {
  const named = gateway ?? (trimPasted(env.FLEET_GATEWAY ?? '') || undefined);
  if (named !== undefined) return named;
  // A home with its own gateway uses that one, running or not.
  if (existsSync(gatewayPaths(home).folder)) return undefined;
  return readIfExists(personPaths(home).defaultGateway)?.trim() || undefined;
}

/** A client of this home's own gateway, for commands that only make sense there. @throws FleetError `usage` if another one is named. */
export function openOwnGateway(context: CliContext, command: string): GatewayClient {
  assertOwnGateway(context, command);
  return clientOfHome(context);
}

/** Ignores FLEET_GATEWAY, which is not aimed at any one command. @throws FleetError `usage`. */
export function assertOwnGateway({ gateway }: CliContext, command: string): void {
  if (gateway === undefined) return;
  throw new FleetError('usage', `fleet ${command} controls the gateway of this home, not ${gateway}`, {
    hint: "Run it on the gateway's machine, without --gateway.",
  });
}

/** A client of the chosen gateway: a remote one, or this home's own. */
export function openGateway(context: CliContext): GatewayClient {
  const remote = chooseRemote(context);
  if (remote === undefined) return clientOfHome(context);
  return new GatewayClient({ connect: () => context.openRemote(remote), time: context.clock });
}

function clientOfHome({ home, clock }: CliContext): GatewayClient {
  return new GatewayClient({ socketPath: gatewayPaths(home).socket, time: clock });
}
