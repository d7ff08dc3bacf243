/** The long-running parts, and the way to gateways elsewhere, that the command line starts but does not import: the composition root passes them in. */
import type { GatewayTransport } from '../client/gateway-transport.ts';
import type { FleetError } from '../shared/errors.ts';

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
