/** Who speaks on a connection: found out once when it is opened, judged anew on every request. */
import type { Duplex } from 'node:stream';
import type { CallerRole } from '../identity/permissions.ts';
import type { SessionPeer } from '../nodes/sessions.ts';

/** An authenticated SSH connection as the API sees it. */
export interface ApiPeer extends SessionPeer {
  /** Ed25519, 32 bytes. */
  readonly publicKey: Buffer;
  cut(reason: string): void;
}

/** How a connection came in. */
export type Origin = { kind: 'socket' } | { kind: 'tcp' } | { kind: 'ssh'; peer: ApiPeer };

/** Who sent a request. */
export interface Caller {
  role: CallerRole;
  /** For `createdBy` and logs: `local`, `api`, or the node's or person's name. */
  name: string;
  /** `SHA256:…` of the key, for who came over SSH. */
  fingerprint?: string;
  /** Node id, for nodes. */
  nodeId?: string;
  peer?: ApiPeer;
  /** Whether the key is still as it was. @throws FleetError `key_revoked`, `not_paired`. */
  recheck?(): void;
}

/** Remembers the origin of each connection for as long as it lives. */
export class Origins {
  readonly #origins = new WeakMap<object, Origin>();

  set(stream: Duplex, origin: Origin): void {
    this.#origins.set(stream, origin);
  }

  get(stream: object): Origin | undefined {
    return this.#origins.get(stream);
  }
}
