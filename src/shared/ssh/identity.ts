/** The own key of a node or a person: made once by tweetnacl, kept in OpenSSH's format so that stock `ssh -i` can use it. */
import nacl from 'tweetnacl';
import { FleetError } from '../errors.ts';
import { readPrivateFile } from '../private-file.ts';
import { writeNewPrivateFile } from '../write-file.ts';
import { encodeOpenSshPrivateKey, parseOpenSshKeyFile } from './ssh-key.ts';

export interface OwnIdentity {
  /** OpenSSH text. */
  privateKey: string;
  /** Raw Ed25519, 32 bytes. */
  publicKey: Uint8Array;
  /** RFC 8032 signature, 64 bytes; takes about 2 ms. */
  sign(message: Uint8Array): Uint8Array;
}

/** The key in `file`, made on first use. @throws FleetError `home_insecure`, `config_invalid`, `storage_failed`. */
export function loadOrCreateIdentity(file: string, comment: string): OwnIdentity {
  const present = readPrivateFile(file);
  if (present !== undefined) return toIdentity(present, parseOpenSshKeyFile(file, present).seed);
  const pair = nacl.sign.keyPair();
  // tweetnacl's secret key is the seed followed by the public key.
  const seed = pair.secretKey.subarray(0, 32);
  const text = encodeOpenSshPrivateKey({ seed, publicKey: pair.publicKey, comment });
  // Two first logins at once must use one key.
  if (writeNewPrivateFile(file, text)) return toIdentity(text, seed);
  const other = readPrivateFile(file);
  if (other !== undefined) return toIdentity(other, parseOpenSshKeyFile(file, other).seed);
  throw new FleetError('storage_failed', `${file} is there, but leads nowhere`, { hint: 'Remove that link.' });
}

function toIdentity(text: string, seed: Uint8Array): OwnIdentity {
  const pair = nacl.sign.keyPair.fromSeed(Uint8Array.from(seed));
  return {
    privateKey: text,
    publicKey: pair.publicKey,
    sign: (message) => nacl.sign.detached(message, pair.secretKey),
  };
}
