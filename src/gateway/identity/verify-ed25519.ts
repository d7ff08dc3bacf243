/** Checks what nodes sign. */
import { createPublicKey, verify } from 'node:crypto';

/** RFC 8032 by node:crypto; false for anything that is not a signature of `message`. */
export function verifyEd25519(publicKey: Uint8Array, message: Buffer, signature: Buffer): boolean {
  const x = Buffer.from(publicKey).toString('base64url');
  const key = createPublicKey({ key: { kty: 'OKP', crv: 'Ed25519', x }, format: 'jwk' });
  return verify(null, message, key, signature) === true;
}
