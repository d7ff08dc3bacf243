/** Puts a new key in the place of a node's old one: proven by both, in one transaction, so that a crash leaves exactly one of them good. */

import { encodeKeyRotation, type RotateKeyRequest } from '../../protocol/node-messages.ts';
import type { Clock } from '../../shared/clock.ts';
import { FleetError } from '../../shared/errors.ts';
import type { Logger } from '../../shared/logger.ts';
import { formatFingerprint, sshPublicKeyBlob } from '../../shared/ssh/ssh-key.ts';
import { actorOfKey, type KeyHolder } from '../audit/act.ts';
import type { ConnectEpochs } from './connect-epochs.ts';
import { findKey } from './known-key.ts';
import type { IdentityStore } from './people-table.ts';
import { verifyEd25519 } from './verify-ed25519.ts';

export interface KeyRotationOptions {
  store: IdentityStore;
  epochs: Pick<ConnectEpochs, 'suspicionOf'>;
  /** SSH host key, wire format. */
  hostKey: Buffer;
  clock: Clock;
  logger: Logger;
}

export class NodeKeyRotation {
  readonly #options: KeyRotationOptions;

  constructor(options: KeyRotationOptions) {
    this.#options = options;
  }

  /**
   * @param peer The connection that asks; its key has been authenticated as this node's.
   * @throws FleetError `forbidden` when a signature is wrong; `conflict` when the new key is or was a node's or is a person's, or when two machines
   * seem to use the old one: then the copy must not become the only one.
   */
  async rotate(node: { id: string; name: string }, peer: KeyHolder, request: RotateKeyRequest): Promise<void> {
    const { store, epochs, hostKey, clock, logger } = this.#options;
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
      // It comes again because the answer was lost.
      if (store.nodes.byPublicKey(newKey)?.id === node.id) return;
      if (findKey(store, newKey) !== undefined || store.nodes.formerKey(newKey) !== undefined)
        throw new FleetError('conflict', 'the new key is or was the key of a node or a person');
      if (!store.nodes.replaceKey(node.id, oldKey, newKey, clock.now()))
        throw new FleetError('conflict', 'the old key is not the key of the node any more');
      const details = { node: node.name, id: node.id, key: formatFingerprint(sshPublicKeyBlob(newKey)) };
      store.audit.append({
        actor: actorOfKey(peer, node.name, 'node'),
        action: 'node.rotate-key',
        outcome: 'ok',
        details,
      });
    });
    logger.warn({ node: node.name }, 'key of a node rotated');
  }
}
