/** What a command may use. Everything that belongs to the process comes from the composition root. */
import path from 'node:path';
import type { Readable } from 'node:stream';
import { GatewayClient } from '../client/gateway-client.ts';
import type { Clock } from '../shared/clock.ts';
import { FleetError } from '../shared/errors.ts';
import { gatewayPaths } from '../shared/home.ts';
import { REPLACEMENT } from '../shared/os-bytes.ts';
import { harmlessJson } from '../shared/strip-control.ts';
import { chooseRemote, type Remotes } from './gateway-choice.ts';
import type { OutputPort, OutputStream } from './output-port.ts';
import type { Services } from './services.ts';

export type SignalName = 'SIGINT' | 'SIGTERM' | 'SIGHUP';

export interface Signals {
  /** Takes the signals over from the system's default until the returned function is called. */
  listen(names: readonly SignalName[], listener: (name: SignalName) => void): () => void;
  /** Whether this process was started with SIGHUP ignored, as nohup(1) does: then nothing may listen to it. */
  hangupIgnored?(): boolean;
  /** For a command that changes the terminal. @see {@link JobControl} */
  jobControl?(terminal: TerminalUse): JobControl;
}

export interface TerminalUse {
  /** Gives the terminal back, before this process stops. */
  leave(): void;
  /** Takes it again, when this process goes on; also when it was stopped without notice. */
  comeBack(): void;
}

export interface JobControl {
  /** Stops the whole job, as Ctrl-Z does where it is no mere character. */
  stop(): void;
  /** Leaves signals to the system's default again. */
  end(): void;
}

/** What a process that was started with --detach tells the one that waits for it. */
export type DetachedMessage =
  | { ready: { readyLine: string; info: object } }
  | { note: string }
  /** It has not got anywhere, and goes on all the same. */
  | { trying: { code: string; message: string; hint?: string } }
  | { failed: { code: string; message: string; hint?: string }; exitCode: number };

/** stdin; one that is a terminal can give each key as it is pressed. */
export type InputStream = Readable & { isTTY?: boolean; setRawMode?(raw: boolean): unknown };

/** The process, as bin.ts hands it over. */
export interface World {
  env: Readonly<Record<string, string | undefined>>;
  /** Opened only when asked for: what does not read stdin must not touch it. */
  openStdin(): InputStream;
  /** What stdin is, without touching it: an empty file is `other`. */
  stdinKind?(): 'file' | 'pipe' | 'other';
  /** The arguments or the environment of this process as the bytes that they are; undefined where the system does not say. */
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
  /** How to start this program again. */
  self: { file: string; args: readonly string[] };
  /** Says something to the process that started this one with --detach, if one did. */
  tellParent: ((message: DetachedMessage) => Promise<void>) | undefined;
  isAlive(pid: number): boolean;
}

export interface CliContext extends Omit<World, 'stdout' | 'stderr'> {
  /** Absolute. */
  home: string;
  configFile: string | undefined;
  /** What was given as --gateway. */
  gateway: string | undefined;
  remotes: Remotes;
  json: boolean;
  out: OutputPort;
  err: OutputPort;
  /** Everything behind the program's name, as it was typed. */
  argv: readonly string[];
}

/** The home folder: the flag, else FLEET_HOME, else ~/.fleet. @throws FleetError `usage` when its path is not UTF-8. */
export function resolveHome(world: World, flag: string | undefined): string {
  const named = flag ?? (world.env.FLEET_HOME || undefined);
  const home = path.resolve(named ?? path.join(world.userHome(), '.fleet'));
  // Not from what was named, which is exact: from the current folder or the user's home.
  if (home.includes(REPLACEMENT) && !named?.includes(REPLACEMENT)) {
    throw new FleetError('usage', 'the path of the home folder is not UTF-8', { hint: 'Name another one: --home DIR' });
  }
  return home;
}

/** A client of the gateway that is meant: one elsewhere, or that of this home. */
export function openGateway(context: CliContext): GatewayClient {
  const remote = chooseRemote(context);
  if (remote === undefined) return new GatewayClient({ socketPath: gatewayPaths(context.home).socket });
  return new GatewayClient({ connect: () => context.remotes.open(remote) });
}

/** Prints a list as one JSON document, part by part: all of it may be longer than any string can be. */
export async function printJsonList(context: CliContext, parts: AsyncIterable<readonly unknown[]>): Promise<void> {
  const indent = context.out.isTerminal ? 2 : undefined;
  const [open, comma, close] = indent === undefined ? ['[', ',', ']\n'] : ['[\n', ',\n', '\n]\n'];
  let isEmpty = true;
  for await (const part of parts) {
    for (const item of part) {
      // Between the brackets of a list of its own, so that it has the same indentation.
      const text = harmlessJson([item], indent).slice(open.length, 1 - close.length);
      context.out.write(`${isEmpty ? open : comma}${text}`);
      isEmpty = false;
      await context.out.ready();
    }
  }
  context.out.write(isEmpty ? '[]\n' : close);
}

/** Prints one JSON document. */
export function printJson(context: CliContext, value: unknown): void {
  context.out.write(`${harmlessJson(value, context.out.isTerminal ? 2 : undefined)}\n`);
}
