/** Identifies the caller of a request: the socket is the admin's, TCP needs the API token, SSH a known key and its JWT. */
import { createHash, timingSafeEqual } from 'node:crypto';
import type { Duplex } from 'node:stream';
import { FleetError } from '../../shared/errors.ts';
import { formatFingerprint, sshPublicKeyBlob } from '../../shared/ssh/ssh-key.ts';
import { findKey, type KnownKey, keyRetired, keyRevoked } from '../identity/keys.ts';
import type { Action, CallerRole } from '../identity/permissions.ts';
import type { Tokens } from '../identity/tokens.ts';
import type { SessionPeer } from '../nodes/sessions.ts';
import type { ApiStore } from './find.ts';

interface AuthenticatorOptions {
  store: ApiStore;
  tokens: Tokens;
  /** Bearer token of the TCP listener. */
  apiToken: string;
}

export class Authenticator {
  readonly #options: AuthenticatorOptions;
  /** The last valid token of each connection: verifying a signature costs more than the heartbeat that carries it. */
  readonly #verified = new WeakMap<ApiPeer, { token: string; subject: string; expiresAt: number }>();

  constructor(options: AuthenticatorOptions) {
    this.#options = options;
  }

  /** @throws FleetError `token_invalid`, `key_revoked`, `not_paired`. */
  async identify(origin: Origin, authorization: string | undefined, action: Action, now: number): Promise<Caller> {
    const token = authorization?.startsWith('Bearer ') ? authorization.slice('Bearer '.length) : undefined;
    switch (origin.kind) {
      case 'socket':
        return { role: 'admin', name: 'local' };
      case 'tcp':
        if (token === undefined || !sameText(token, this.#options.apiToken)) {
          throw new FleetError('token_invalid', 'the API token is missing or wrong', {
            hint: 'Send Authorization: Bearer with the content of HOME/gateway/api.token.',
          });
        }
        return { role: 'admin', name: 'api' };
      case 'ssh':
        return await this.#identifyPeer(origin.peer, token, action, now);
    }
  }

  async #identifyPeer(peer: ApiPeer, token: string | undefined, action: Action, now: number): Promise<Caller> {
    const fingerprint = formatFingerprint(sshPublicKeyBlob(peer.publicKey));
    if (action === 'pair') {
      const known = this.#find(peer, action);
      const recheck = (): void => void this.#find(peer, action);
      return { role: known?.role ?? 'unknown', name: known?.name ?? 'unknown', fingerprint, peer, recheck };
    }
    this.#known(peer);
    if (token === undefined) throw new FleetError('token_invalid', 'the request carries no token');
    const subject = await this.#verifyToken(peer, token, now);
    // Looked up again after the wait. The current role counts, not the one in the token.
    const { id, kind, role, name } = this.#known(peer);
    if (subject !== id) throw new FleetError('token_invalid', 'the token is not for this key');
    const recheck = (): void => {
      if (this.#known(peer).role !== role) throw new FleetError('forbidden', 'the role of this key has just changed');
    };
    return { role, name, fingerprint, peer, recheck, ...(kind === 'node' ? { nodeId: id } : {}) };
  }

  /** Undefined for an unpaired key. @throws FleetError `key_revoked`. */
  #find({ publicKey }: ApiPeer, action?: Action): KnownKey | undefined {
    const { store } = this.#options;
    const known = findKey(store, publicKey);
    if (known !== undefined && known.revokedAt !== null) throw keyRevoked(known);
    const former = known === undefined ? store.nodes.formerKey(publicKey) : undefined;
    // A removed node may pair again with a new invite.
    if (former !== undefined && !(former.fate === 'removed' && action === 'pair')) throw keyRetired(former);
    return known;
  }

  #known(peer: ApiPeer): KnownKey {
    const known = this.#find(peer);
    if (known !== undefined) return known;
    throw new FleetError('not_paired', 'the gateway does not know this key', {
      hint: 'Pair it, with a code from `fleet invite`: fleet node up --gateway HOST --code CODE, or fleet login HOST --code CODE.',
    });
  }

  async #verifyToken(peer: ApiPeer, token: string, now: number): Promise<string> {
    const known = this.#verified.get(peer);
    if (known !== undefined && known.token === token && known.expiresAt > now) return known.subject;
    const { subject, expiresAt } = await this.#options.tokens.verify(token, peer.publicKey);
    this.#verified.set(peer, { token, subject, expiresAt });
    return subject;
  }
}

/** Compares in constant time, whatever the lengths. */
function sameText(left: string, right: string): boolean {
  const digest = (text: string): Buffer => createHash('sha256').update(text).digest();
  return timingSafeEqual(digest(left), digest(right));
}

/** An authenticated SSH connection as the API sees it. */
export interface ApiPeer extends SessionPeer {
  /** Ed25519, 32 bytes. */
  readonly publicKey: Buffer;
  cut(reason: string): void;
}

/** Where a connection came from. */
export type Origin = { kind: 'socket' } | { kind: 'tcp' } | { kind: 'ssh'; peer: ApiPeer };

/** Who sent a request. */
export interface Caller {
  role: CallerRole;
  /** For `createdBy` and logs: `local`, `api`, or the node's or person's name. */
  name: string;
  /** `SHA256:…` of the key; over SSH only. */
  fingerprint?: string;
  /** Set for nodes. */
  nodeId?: string;
  peer?: ApiPeer;
  /** Checks that key and role have not changed. @throws FleetError `key_revoked`, `not_paired`. */
  recheck?(): void;
}

/** The origin of each open connection. */
export class Origins {
  readonly #origins = new WeakMap<object, Origin>();

  set(stream: Duplex, origin: Origin): void {
    this.#origins.set(stream, origin);
  }

  get(stream: object): Origin | undefined {
    return this.#origins.get(stream);
  }
}
