/** What a command can use: the process as bin.ts hands it over, this invocation's options, and the services that it can start. */
import type { Readable } from 'node:stream';
import type { GatewayTransport } from '../../client/gateway-transport.ts';
import type { Clock } from '../../shared/clock.ts';
import type { FleetError } from '../../shared/errors.ts';
import type { OutputPort, OutputStream } from '../output/output-port.ts';
import type { GatewayTime } from './gateway-time.ts';

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
  stdinKind?(): 'file' | 'pipe' | 'folder' | 'other';
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
  /** Its `now` is the gateway's, once that has answered. */
  clock: GatewayTime;
  /** Absolute. */
  home: string;
  configFile: string | undefined;
  /** What was given as --gateway. */
  gateway: string | undefined;
  /** Opens the way to a remote gateway, one connection however many clients use it. */
  openRemote(gateway: string): Promise<GatewayTransport>;
  json: boolean;
  out: OutputPort;
  err: OutputPort;
  /** Everything behind the program's name, as it was typed. */
  argv: readonly string[];
}

export interface RunningService {
  /** One line for the person, once everything is usable. */
  readyLine: string;
  /** What a person should know about it; in the log already. */
  notice?: string | undefined;
  /** For `--json`. */
  info: object;
  /** Resolves when it stops by itself: with an error, whose code gives the exit code, or without when it was asked to. */
  readonly ended: Promise<FleetError | undefined>;
  /** Makes a new connection at once (SIGHUP); where there is such a thing. */
  reconnect?(): void;
  /** Reads the configuration anew (SIGHUP); where there is such a thing. Never throws: what comes of it is in the log. */
  reload?(): void;
  /** Orderly end; idempotent. */
  close(): Promise<void>;
}

/** What can be asked of a service that is not up yet. */
export interface BegunService extends Pick<RunningService, 'reconnect'> {
  /** What keeps it from being up, if it has not just to wait for a person. */
  trouble?(): FleetError | undefined;
}

/** Where readable log lines go; undefined for none. */
export type ServiceConsole = { write(text: string): unknown } | undefined;

export interface StartGatewayOptions {
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
  /** Eight digits that the gateway shows, too. */
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
  /** The gateway makes it wait until an operator approves it. */
  onPending(info: PendingInfo): void;
  /** Called at the beginning of the start, which may wait for the gateway for ever: a SIGHUP is meant for the node also then. */
  onBegun(node: BegunService): void;
  signal: AbortSignal;
}

export interface LoginOptions {
  home: string;
  /** `[user@]host[:port]`; undefined for the default one. */
  gateway: string | undefined;
  code: string | undefined;
  name: string | undefined;
  suggestedName: string;
  keyComment: string;
}

export interface LoginResult {
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
  /** The way to `[user@]host[:port]`. */
  openRemote(options: { home: string; gateway: string }): Promise<GatewayTransport>;
  login(options: LoginOptions): Promise<LoginResult>;
  /** Resolves with the gateway that was forgotten. */
  logout(options: { home: string; gateway: string | undefined }): Promise<string>;
}
