/** The services that bin.ts can start: the gateway, a node, and the connection to a remote gateway. */
import type { GatewayTransport } from '../../client/transport.ts';
import type { FleetError } from '../../shared/errors.ts';

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
