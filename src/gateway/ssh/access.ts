/** What each authenticated SSH connection may open: decided by its key, in one place. */
import type { Duplex } from 'node:stream';
import { GATEWAY_API, NODE_FORWARD } from '../../domain/limits.ts';
import type { Logger } from '../../shared/logger.ts';
import type { PeerAccess } from '../../shared/ssh/server/peers.ts';
import type { SshPeer } from '../../shared/ssh/server/ssh-session.ts';
import { actorOfKey } from '../audit/act.ts';
import type { Refusals } from '../audit/refusals.ts';
import { findKey } from '../identity/keys.ts';
import type { PeopleConnections } from '../identity/people-connections.ts';
import type { IdentityStore } from '../identity/tables.ts';
import type { Sessions } from '../nodes/sessions.ts';

/** Time for an unknown key to pair, or to request it, ms. */
const UNKNOWN_KEY_LIFETIME_MS = 30_000;
/** An unknown key needs one channel; a second covers a retry. */
const UNKNOWN_KEY_MAX_CHANNELS = 2;
/** Over all connections of a node: runs, their output streams and heartbeats. */
const NODE_MAX_CHANNELS = 64;
/** A node needs one; a reconnect may leave a dead one behind, and its key may be in rotation. */
export const NODE_MAX_CONNECTIONS = 4;
/** Over all connections of a person: two for each of a hundred commands that run at once. */
const PERSON_MAX_CHANNELS = 256;

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
 * Everybody may reach the API, which checks each request; only a paired, unrevoked node may offer its forward; nobody may open anything
 * else, so no way leads through the gateway to another machine. A revoked or replaced key counts as unknown: the API tells it so.
 */
export function accessOf(peer: SshPeer, options: AccessOptions): PeerAccess {
  const { store, sessions, people, logger, refusals, serveApi } = options;
  const direct: PeerAccess['direct'] = ({ host, port }) =>
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
      direct,
    };
  }
  if (key.kind === 'person') {
    people.open(key, peer);
    return { maxChannels: PERSON_MAX_CHANNELS, direct };
  }
  return {
    maxChannels: NODE_MAX_CHANNELS,
    maxConnections: NODE_MAX_CONNECTIONS,
    direct,
    forward: ({ host, port }) => {
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
