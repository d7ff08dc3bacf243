/** What a node signs, with both keys, to put a new key in the place of its old one. */
import { z } from 'zod';
import { timeMs } from '../domain/bounded.ts';
import { lengthPrefixed } from './length-prefixed.ts';
import { publicKeySchema, signatureSchema } from './node-messages.ts';

const PURPOSE = 'fleet-rotate-v1';

export interface KeyRotation {
  /** The gateway's SSH host key, wire format: a statement for one gateway is none for another. */
  hostKey: Uint8Array;
  nodeId: string;
  /** Ed25519, 32 bytes each. */
  oldKey: Uint8Array;
  newKey: Uint8Array;
}

/** The statement that both keys sign. It needs no nonce: it is true once, while the old key is the node's, and changes nothing afterwards. */
export function encodeKeyRotation({ hostKey, nodeId, oldKey, newKey }: KeyRotation): Buffer {
  return lengthPrefixed([Buffer.from(PURPOSE), hostKey, Buffer.from(nodeId), oldKey, newKey]);
}

/** `POST /v1/node/rotate-key`, over a connection of the old key. */
export const rotateKeyRequest = z.object({
  publicKey: publicKeySchema,
  /** Of the statement, by the old key and by the new one. */
  oldSignature: signatureSchema,
  newSignature: signatureSchema,
});
export type RotateKeyRequest = z.infer<typeof rotateKeyRequest>;

export const rotateKeyAnswer = z.object({ time: timeMs });
export type RotateKeyAnswer = z.infer<typeof rotateKeyAnswer>;
