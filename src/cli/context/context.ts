/** What a command can use: the process as bin.ts hands it over, this invocation's options, and the services that it can start. */
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

export interface RunningService {
  /** One line for the person, once everything is ready. */
  readyLine: string;
  /** A note for the person; already in the log. */
  notice?: string | undefined;
  /** For `--json`. */
  info: object;
  /** Resolves when it stops by itself, with an error that gives the exit code; or without one, if it was asked to. */
  readonly ended: Promise<FleetError | undefined>;
  /** SIGHUP: reconnects at once. */
  reconnect?(): void;
  /** SIGHUP: reloads the configuration. Never throws: the result is logged. */
  reload?(): void;
  /** Clean shutdown; idempotent. */
  close(): Promise<void>;
}

/** A service that is not up yet. */
export interface BegunService extends Pick<RunningService, 'reconnect'> {
  /** Why it is not up yet, unless it only waits for a person. */
  trouble?(): FleetError | undefined;
}

/** Takes readable log lines; undefined for none. */
export type ServiceConsole = { write(text: string): unknown } | undefined;

interface StartGatewayOptions {
  home: string;
  configFile: string | undefined;
  flags: { listen?: string; api?: string; advertise?: string; logLevel?: string };
  /** Take over a home that another machine has used. */
  adoptHome?: boolean;
  /** Start with an empty database although there are keys. */
  newDatabase?: boolean;
  console: ServiceConsole;
  signal: AbortSignal;
}

export interface PendingInfo {
  /** Eight digits, which the gateway shows as well. */
  code: string;
  gateway: string;
  name: string;
}

export interface StartNodeOptions {
  home: string;
  configFile: string | undefined;
  flags: { gateway?: string; code?: string; name?: string; labels?: Record<string, string> };
  /** Take over a home that another machine has used. */
  adoptHome?: boolean;
  console: ServiceConsole;
  /** Called when the node has to wait until an operator approves it. */
  onPending(info: PendingInfo): void;
  /** Called first: starting can wait for the gateway indefinitely, and SIGHUP must work meanwhile. */
  onBegun(node: BegunService): void;
  signal: AbortSignal;
}

export interface LoginOptions {
  home: string;
  /** `[user@]host[:port]`; undefined for the default gateway. */
  gateway: string | undefined;
  code: string | undefined;
  name: string | undefined;
  suggestedName: string;
  keyComment: string;
}

interface LoginResult {
  gateway: string;
  name: string;
  role: string;
  fingerprint: string;
  hostKeyFingerprint: string;
  expiresAt: string;
  isDefault: boolean;
}

export interface Services {
  startGateway(options: StartGatewayOptions): Promise<RunningService>;
  /** Resolves when the first heartbeat was accepted. */
  startNode(options: StartNodeOptions): Promise<RunningService>;
  /** Connects to `[user@]host[:port]`. */
  openRemote(options: { home: string; gateway: string }): Promise<GatewayTransport>;
  login(options: LoginOptions): Promise<LoginResult>;
  /** Resolves with the gateway that was removed. */
  logout(options: { home: string; gateway: string | undefined }): Promise<string>;
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
