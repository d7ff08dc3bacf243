/** The gateway's signing key: signs tokens for nodes and people, and tickets for runs. Apart from the host key, so that it can be rotated. */
import { createHash, createPrivateKey, createPublicKey, generateKeyPairSync, type KeyObject } from 'node:crypto';
import { readPrivateFile } from '../../shared/private-file.ts';
import { encodeOpenSshPrivateKey, parseOpenSshKeyFile, parseOpenSshPrivateKey } from '../../shared/ssh/ssh-key.ts';
import { writePrivateFile } from '../../shared/write-file.ts';

export interface SigningKey {
  privateKey: KeyObject;
  publicKey: KeyObject;
  /** 32 bytes. */
  rawPublicKey: Buffer;
  /** First 16 hex digits of the public key's SHA-256; the `kid` of what it signs. */
  id: string;
}

/** The Ed25519 key in `file`, made on first use. Its text is OpenSSH's private-key format. @throws FleetError `home_insecure`, `config_invalid`, `storage_failed`. */
export function loadOrCreateKeyFile(file: string, comment: string): string {
  const present = readPrivateFile(file);
  if (present !== undefined) {
    parseOpenSshKeyFile(file, present);
    return present;
  }
  const text = createKeyText(comment);
  writePrivateFile(file, text);
  return text;
}

/** A new Ed25519 key in OpenSSH's private-key format. */
export function createKeyText(comment: string): string {
  const { privateKey } = generateKeyPairSync('ed25519');
  const { d, x } = privateKey.export({ format: 'jwk' });
  const seed = Buffer.from(d ?? '', 'base64url');
  const publicKey = Buffer.from(x ?? '', 'base64url');
  return encodeOpenSshPrivateKey({ seed, publicKey, comment });
}

/** What names a signing key: the `kid` of what it signs. */
export function keyId(publicKey: Uint8Array): string {
  return createHash('sha256').update(publicKey).digest('hex').slice(0, 16);
}

/** Reads an OpenSSH private key as keys of node:crypto (RFC 8037 JWK). */
export function toSigningKey(text: string): SigningKey {
  const { seed, publicKey } = parseOpenSshPrivateKey(text);
  const jwk = { kty: 'OKP', crv: 'Ed25519', d: base64Url(seed), x: base64Url(publicKey) };
  const privateKey = createPrivateKey({ key: jwk, format: 'jwk' });
  return {
    privateKey,
    publicKey: createPublicKey(privateKey),
    rawPublicKey: Buffer.from(publicKey),
    id: keyId(publicKey),
  };
}

function base64Url(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString('base64url');
}
