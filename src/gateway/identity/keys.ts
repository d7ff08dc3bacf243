/** The keys of nodes and people: whose a key is, why it may not come in, what it has signed, and how a node replaces its own. */
import { createPublicKey, type KeyObject, verify } from 'node:crypto';
import type { Role } from '../../domain/vocabulary.ts';
import { encodeKeyRotation, type RotateKeyRequest } from '../../protocol/node-messages.ts';
import { FleetError } from '../../shared/errors.ts';
import { formatFingerprint, sshPublicKeyBlob } from '../../shared/ssh/ssh-key.ts';
import { actorOfKey, type KeyHolder } from '../audit/act.ts';
import type { FormerKey } from '../nodes/nodes-table.ts';
import type { ConnectEpochs } from './connect-epochs.ts';
import type { IdentityContext, IdentityStore } from './tables.ts';

/** The owner of a known key, possibly revoked. */
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

/**
 * The owner of a key that pairs as `as`; undefined for a newcomer. One key is one thing: a node that could also speak as its operator
 * would be worth stealing. Check again in the transaction that admits the key: another request of it may have been faster. A removed
 * node comes back only by a new invite.
 * @throws FleetError `key_revoked`, also for a node's former key; `conflict` for an owner of the other kind.
 */
export function ownerOf(
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
  throw new FleetError('conflict', `this key already belongs to the ${known.kind} ${known.name}`, {
    hint: 'A node and a person need separate keys; do not copy key files.',
  });
}

export function keyRevoked({ kind, name }: Pick<KnownKey, 'kind' | 'name'>): FleetError {
  return new FleetError('key_revoked', `the key of ${name} was revoked on the gateway`, {
    hint:
      kind === 'node'
        ? 'If that was a mistake: remove the node on the gateway (fleet nodes rm) and pair it again.'
        : 'If that was a mistake: ask for a new code, move HOME/person/id_ed25519 away, and log in again.',
  });
}

/** Why a node's former key is refused. */
export function keyRetired({ name, fate }: FormerKey): FleetError {
  if (fate === 'replaced') {
    return new FleetError('key_revoked', `this key of ${name} was replaced by another one`, {
      hint: 'If you rotated it, this is an old copy. If not: revoke the node on the gateway (fleet nodes revoke).',
    });
  }
  return new FleetError('key_revoked', `${name} was removed from the gateway`, {
    hint: 'To pair it again: fleet node up --gateway HOST --code CODE, with a code from `fleet invite` on the gateway.',
  });
}

/** An Ed25519 public key of 32 bytes for node:crypto. */
export function toPublicKey(raw: Uint8Array): KeyObject {
  const x = Buffer.from(raw).toString('base64url');
  return createPublicKey({ key: { kty: 'OKP', crv: 'Ed25519', x }, format: 'jwk' });
}

/** RFC 8032; false for anything that is not a signature of `message`. */
export function verifyEd25519(publicKey: Uint8Array, message: Buffer, signature: Buffer): boolean {
  return verify(null, message, toPublicKey(publicKey), signature) === true;
}

interface KeyRotationOptions extends IdentityContext {
  epochs: Pick<ConnectEpochs, 'suspicionOf'>;
  /** SSH host key, wire format. */
  hostKey: Buffer;
}

/**
 * Replaces a node's key: signed by both keys, and in one transaction, so that a crash leaves exactly one of them valid.
 * @param peer The connection; its key has been authenticated as this node's.
 * @throws FleetError `forbidden` for a wrong signature; `conflict` if the new key is or was in use, or if two machines seem to use the
 * old one, because the copy must not become the only one.
 */
export async function rotateNodeKey(
  { store, epochs, hostKey, clock, logger }: KeyRotationOptions,
  node: { id: string; name: string },
  peer: KeyHolder,
  request: RotateKeyRequest,
): Promise<void> {
  const { publicKey: oldKey } = peer;
  const newKey = Buffer.from(request.publicKey, 'base64url');
  const statement = encodeKeyRotation({ hostKey, nodeId: node.id, oldKey, newKey });
  const isSigned =
    verifyEd25519(oldKey, statement, Buffer.from(request.oldSignature, 'base64url')) &&
    verifyEd25519(newKey, statement, Buffer.from(request.newSignature, 'base64url'));
  if (!isSigned) throw new FleetError('forbidden', 'the new key is not signed by the old one and by itself');
  if (epochs.suspicionOf(node.id) !== undefined) {
    throw new FleetError('conflict', `two machines seem to use the key of ${node.name}`, {
      hint: `Look into it first, on the gateway: fleet nodes show ${node.name}, then fleet nodes reset ${node.name}`,
    });
  }
  await store.write(() => {
    // A repetition, because the answer was lost.
    if (store.nodes.byPublicKey(newKey)?.id === node.id) return;
    if (findKey(store, newKey) !== undefined || store.nodes.formerKey(newKey) !== undefined)
      throw new FleetError('conflict', 'the new key is or was the key of a node or a person');
    if (!store.nodes.replaceKey(node.id, oldKey, newKey, clock.now()))
      throw new FleetError('conflict', 'the old key is no longer the key of the node');
    store.audit.append({
      actor: actorOfKey(peer, node.name, 'node'),
      action: 'node.rotate-key',
      outcome: 'ok',
      details: { node: node.name, id: node.id, key: formatFingerprint(sshPublicKeyBlob(newKey)) },
    });
  });
  logger.warn({ node: node.name }, 'key of a node rotated');
}
