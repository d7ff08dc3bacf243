/** The long-running parts that the command line starts but does not import: the composition root passes them in. */
import type { FleetError } from '../shared/errors.ts';

export interface RunningService {
  /** One line for the person, once everything is usable. */
  readyLine: string;
  /** For `--json`. */
  info: object;
  /** Resolves when it stops by itself: with an error, whose code gives the exit code, or without when it was asked to. */
  readonly ended: Promise<FleetError | undefined>;
  /** Makes a new connection at once (SIGHUP); where there is such a thing. */
  reconnect?(): void;
  /** Orderly end; idempotent. */
  close(): Promise<void>;
}

/** Where readable log lines go; undefined for none. */
export type ServiceConsole = { write(text: string): unknown } | undefined;

export interface StartGatewayOptions {
  home: string;
  configFile: string | undefined;
  flags: { listen?: string; api?: string; advertise?: string; logLevel?: string };
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
  console: ServiceConsole;
  /** The gateway makes it wait until an operator approves it. */
  onPending(info: PendingInfo): void;
  signal: AbortSignal;
}

export interface Services {
  startGateway(options: StartGatewayOptions): Promise<RunningService>;
  /** Resolves when the first heartbeat was accepted. */
  startNode(options: StartNodeOptions): Promise<RunningService>;
}
