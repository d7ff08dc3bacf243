/** In which words a key is told that it may not pair as what it wants to be. */

import { FleetError } from '../../shared/errors.ts';
import { findKey, type KnownKey, keyRetired, keyRevoked } from './known-key.ts';
import type { IdentityStore } from './people-table.ts';

/**
 * Who the key already is; undefined for a newcomer. One key is one thing: a node that could also speak as its operator would be worth
 * stealing. So it is asked again in the transaction that lets the key in: another request of the same key may have been faster.
 * A node that was removed comes back only by a new invite.
 * @throws FleetError `key_revoked`, also for a node's former key; `conflict` when it is of the other kind.
 */
export function knownAs(
  store: IdentityStore,
  publicKey: Uint8Array,
  as: KnownKey['kind'],
  isInvited: boolean,
): KnownKey | undefined {
  const known = findKey(store, publicKey);
  if (known === undefined) {
    const former = store.nodes.formerKey(publicKey);
    if (former !== undefined && !(former.fate === 'removed' && isInvited)) throw keyRetired(former);
    return undefined;
  }
  if (known.revokedAt !== null) throw keyRevoked(known);
  if (known.kind === as) return known;
  throw new FleetError('conflict', `this key is already that of the ${known.kind} ${known.name}`, {
    hint: 'A node and a person need a key each; do not copy key files.',
  });
}

export function wrongKind(what: string, command: string): FleetError {
  return new FleetError('forbidden', `this code is for ${what}`, { hint: `Use it with: ${command}` });
}

export function personUnknown(): FleetError {
  return new FleetError('not_paired', 'the gateway does not know this key', {
    hint: 'Log in with a code: fleet login HOST --code CODE. An admin makes one: fleet invite --role operator.',
  });
}
