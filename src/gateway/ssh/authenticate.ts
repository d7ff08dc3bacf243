/** Who a connection is: public key only, Ed25519 only. Every valid key may come in; what it may do is decided elsewhere. RFC 4252, 7. */
import type { AuthContext, PublicKeyAuthContext } from 'ssh2';
import { rawEd25519FromBlob } from '../../shared/ssh/ssh-key.ts';
import { utils } from '../../shared/ssh/ssh2.ts';

/** Longer user names are refused; they end up in logs. */
const MAX_USER_BYTES = 255;

export interface Identity {
  /** Raw, 32 bytes. */
  publicKey: Buffer;
  user: string;
}

/** `probe`: the client asks whether the key would do, and has proven nothing. */
export type AuthDecision = { kind: 'rejected' } | { kind: 'probe' } | { kind: 'verified'; identity: Identity };

/** Decides on one authentication request; answering it is the caller's. */
export function decideAuthentication(context: AuthContext): AuthDecision {
  if (context.method !== 'publickey' || Buffer.byteLength(context.username) > MAX_USER_BYTES)
    return { kind: 'rejected' };
  const publicKey = keyOf(context);
  if (publicKey === undefined) return { kind: 'rejected' };
  if (context.signature === undefined || context.blob === undefined) return { kind: 'probe' };
  if (!isSigned(context)) return { kind: 'rejected' };
  return { kind: 'verified', identity: { publicKey, user: context.username } };
}

/** The key's 32 bytes when it is an Ed25519 key both by its label and by its content: the label alone is the client's claim. */
function keyOf({ key, hashAlgo }: PublicKeyAuthContext): Buffer | undefined {
  if (key.algo !== 'ssh-ed25519' || hashAlgo !== undefined) return undefined;
  return rawEd25519FromBlob(key.data);
}

function isSigned({ key, blob, signature }: PublicKeyAuthContext): boolean {
  if (blob === undefined || signature === undefined) return false;
  const parsed = utils.parseKey(key.data);
  if (parsed instanceof Error || !parsed.getPublicSSH().equals(key.data)) return false;
  // Exactly true: ssh2 returns an Error, which is truthy, when it cannot verify at all.
  return parsed.verify(blob, signature) === true;
}
