/** Signs the head of the audit log: with the gateway's signing key, which is not in the database that it vouches for. */
import { generateKeyPairSync, type KeyObject, sign } from 'node:crypto';

export interface HeadSigner {
  /** Ed25519 public key of {@link HeadSigner.sign}, base64url. */
  readonly key: string;
  /** Every key whose signature counts, base64url; of them `key` is one. */
  readonly knownKeys: readonly string[];
  /** base64url. */
  sign(bytes: Uint8Array): string;
}

/** @param formerKeys with which this gateway signed before, raw Ed25519 public keys. */
export function createHeadSigner(
  { privateKey, rawPublicKey }: { privateKey: KeyObject; rawPublicKey: Buffer },
  formerKeys: readonly Buffer[] = [],
): HeadSigner {
  const key = rawPublicKey.toString('base64url');
  return {
    key,
    knownKeys: [key, ...formerKeys.map((former) => former.toString('base64url'))],
    sign: (bytes) => sign(null, bytes, privateKey).toString('base64url'),
  };
}

/** With whatever the gateway's signing key is at the moment; heads of replaced keys count for as long as their tokens do. */
export function createRotatingHeadSigner(keys: {
  readonly current: { privateKey: KeyObject; rawPublicKey: Buffer };
  acceptedRaw(): readonly string[];
}): HeadSigner {
  return {
    get key() {
      return keys.current.rawPublicKey.toString('base64url');
    },
    get knownKeys() {
      return keys.acceptedRaw();
    },
    sign: (bytes) => sign(null, bytes, keys.current.privateKey).toString('base64url'),
  };
}

/** Of a key that lives as long as this process: for stores that are nobody's gateway. */
export function createTemporarySigner(): HeadSigner {
  const { privateKey, publicKey } = generateKeyPairSync('ed25519');
  return createHeadSigner({
    privateKey,
    rawPublicKey: Buffer.from(publicKey.export({ format: 'jwk' }).x ?? '', 'base64url'),
  });
}
