/** The way from a client to its gateway: a Unix socket here, or an SSH connection elsewhere. */
import type { FleetError } from '../shared/errors.ts';
import type { RequestOptions } from '../shared/http/request.ts';

/** What a request needs to go one way: where to, proof of who asks, and whose words the answers are. */
export type Route = Pick<RequestOptions, 'agent' | 'socketPath' | 'headers' | 'peer'>;

export interface GatewayTransport {
  /** Connects when there is no connection. @throws FleetError when there is no way now. */
  route(): Route | Promise<Route>;
  /** Gets a fresh token, where there are tokens. */
  renew?(): Promise<void>;
  /** In words that fit this way. */
  explain?(failure: FleetError): FleetError;
  /** Idempotent. */
  close(): void;
}
