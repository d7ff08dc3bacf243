/** Whose key that is: the one place that looks it up among nodes and people. */

import type { Role } from '../../domain/vocabulary.ts';
import { FleetError } from '../../shared/errors.ts';
import type { FormerKey } from '../nodes/nodes-table.ts';
import type { IdentityStore } from './people-table.ts';

/** A key that the gateway knows, also one that it refuses. */
export interface KnownKey {
  kind: 'node' | 'person';
  id: string;
  name: string;
  role: Role;
  revokedAt: number | null;
}

export function findKey(store: IdentityStore, publicKey: Uint8Array): KnownKey | undefined {
  const node = store.nodes.byPublicKey(publicKey);
  if (node !== undefined)
    return { kind: 'node', id: node.id, name: node.name, role: 'node', revokedAt: node.revokedAt };
  const person = store.people.byPublicKey(publicKey);
  if (person === undefined) return undefined;
  const { id, name, role, revokedAt } = person;
  return { kind: 'person', id, name, role, revokedAt };
}

export function keyRevoked({ kind, name }: Pick<KnownKey, 'kind' | 'name'>): FleetError {
  return new FleetError('key_revoked', `the key of ${name} was revoked on the gateway`, {
    hint:
      kind === 'node'
        ? 'If that was a mistake: remove the node on the gateway (fleet nodes rm) and pair it again.'
        : 'If that was a mistake: ask for a new code, move HOME/person/id_ed25519 away, and log in again.',
  });
}

/** Why a key that was a node's once is refused. */
export function keyRetired({ name, fate }: FormerKey): FleetError {
  if (fate === 'replaced') {
    return new FleetError('key_revoked', `this key of ${name} was replaced by another one`, {
      hint: 'If it was you who rotated it, this is an old copy. If not: revoke the node on the gateway (fleet nodes revoke).',
    });
  }
  return new FleetError('key_revoked', `${name} was removed from the gateway`, {
    hint: 'To pair it again: fleet node up --gateway HOST --code CODE, with a code from `fleet invite` on the gateway.',
  });
}
