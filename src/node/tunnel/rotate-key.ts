/** The node's part of a change of its key, over a connection of the old one. docs/key-rotation.md tells the why. */
import { encodeKeyRotation } from '../../protocol/key-rotation.ts';
import type { OwnIdentity } from '../../shared/ssh/identity.ts';
import type { GatewayClient } from './gateway-client.ts';

export interface RotateKeyOptions {
  client: Pick<GatewayClient, 'rotateKey'>;
  nodeId: string;
  /** The host key that this connection has proven, wire format. */
  hostKey: Buffer;
  oldKey: OwnIdentity;
  newKey: OwnIdentity;
}

/** Resolves when the gateway knows only the new key. @throws FleetError what the gateway refuses; after any other it may know either. */
export async function rotateKey({ client, nodeId, hostKey, oldKey, newKey }: RotateKeyOptions): Promise<void> {
  const statement = encodeKeyRotation({ hostKey, nodeId, oldKey: oldKey.publicKey, newKey: newKey.publicKey });
  await client.rotateKey({
    publicKey: base64Url(newKey.publicKey),
    oldSignature: base64Url(oldKey.sign(statement)),
    newSignature: base64Url(newKey.sign(statement)),
  });
}

function base64Url(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString('base64url');
}
