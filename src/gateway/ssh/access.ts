/** What each authenticated SSH connection may open: decided by its key, in one place. */

import type { Duplex } from 'node:stream';
import { GATEWAY_API, NODE_FORWARD } from '../../domain/limits.ts';
import type { Logger } from '../../shared/logger.ts';
import { NODE_MAX_CHANNELS, NODE_MAX_CONNECTIONS, PERSON_MAX_CHANNELS } from '../../shared/ssh/limits.ts';
import { actorOfKey } from '../audit/act.ts';
import type { Refusals } from '../audit/refusals.ts';
import { findKey } from '../identity/known-key.ts';
import type { PeopleConnections } from '../identity/people-connections.ts';
import type { IdentityStore } from '../identity/people-table.ts';
import type { Sessions } from '../nodes/sessions.ts';
import type { PeerHandlers, SshPeer } from './ssh-peer.ts';

/** Time in which an unknown key must have paired or asked to, ms. */
const UNKNOWN_KEY_LIFETIME_MS = 30_000;
/** An unknown key needs one channel; a second covers a retry. */
const UNKNOWN_KEY_MAX_CHANNELS = 2;

export interface AccessOptions {
  store: IdentityStore;
  sessions: Sessions;
  people: PeopleConnections;
  logger: Logger;
  refusals: Pick<Refusals, 'note'>;
  /** Serves the API on a channel of this peer. */
  serveApi(channel: Duplex, peer: SshPeer): void;
}

/**
 * Everybody may reach the API, which checks each request; only a paired, unrevoked node may offer its forward; nobody
 * may open anything else, so there is no way through the gateway to another machine. A key that was revoked or
 * replaced is treated as an unknown one: what it hears on its one request is that it was.
 */
export function handlersFor(peer: SshPeer, options: AccessOptions): PeerHandlers {
  const { store, sessions, people, logger, refusals, serveApi } = options;
  const onDirectTcpip: PeerHandlers['onDirectTcpip'] = ({ host, port }) =>
    host === GATEWAY_API.host && port === GATEWAY_API.port ? (channel) => serveApi(channel, peer) : undefined;
  const key = findKey(store, peer.publicKey);
  if (key === undefined || key.revokedAt !== null) {
    const former = key === undefined ? store.nodes.formerKey(peer.publicKey) : undefined;
    const outcome = key === undefined && former === undefined ? 'not_paired' : 'key_revoked';
    const actor = actorOfKey(peer, key?.name ?? former?.name, former === undefined ? key?.role : 'node');
    refusals.note({ actor, action: 'session.open', outcome, details: {} });
    return {
      isStranger: true,
      maxChannels: UNKNOWN_KEY_MAX_CHANNELS,
      lifetimeMs: UNKNOWN_KEY_LIFETIME_MS,
      onDirectTcpip,
    };
  }
  if (key.kind === 'person') {
    people.open(key, peer);
    return { maxChannels: PERSON_MAX_CHANNELS, onDirectTcpip };
  }
  return {
    maxChannels: NODE_MAX_CHANNELS,
    maxConnections: NODE_MAX_CONNECTIONS,
    onDirectTcpip,
    onForward: ({ host, port }) => {
      if (host !== NODE_FORWARD.host || port !== NODE_FORWARD.port) return false;
      // The node may have been revoked or removed, or its key replaced, since it connected.
      const present = store.nodes.byPublicKey(peer.publicKey);
      if (present === undefined || present.id !== key.id || present.revokedAt !== null) return false;
      sessions.accept(present, peer).catch((error: unknown) => {
        logger.error({ err: error, node: key.name }, 'could not store a session');
        peer.close('storage_failed');
      });
      return true;
    },
  };
}
