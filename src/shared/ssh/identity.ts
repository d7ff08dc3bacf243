/** The own key of a node or person: made once by tweetnacl, kept in OpenSSH's format so that stock `ssh -i` can use it. */
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
  const present = readIdentity(file);
  if (present !== undefined) return present;
  const pair = nacl.sign.keyPair();
  // tweetnacl's secret key is the seed followed by the public key.
  const seed = pair.secretKey.subarray(0, 32);
  const text = encodeOpenSshPrivateKey({ seed, publicKey: pair.publicKey, comment });
  // Two concurrent first logins must use one key.
  const identity = writeNewPrivateFile(file, text) ? toIdentity(text, seed) : readIdentity(file);
  if (identity !== undefined) return identity;
  throw new FleetError('storage_failed', `${file} is a dangling link`, { hint: 'Remove that link.' });
}

function readIdentity(file: string): OwnIdentity | undefined {
  const text = readPrivateFile(file);
  return text === undefined ? undefined : toIdentity(text, parseOpenSshKeyFile(file, text).seed);
}

function toIdentity(text: string, seed: Uint8Array): OwnIdentity {
  const { publicKey, secretKey } = nacl.sign.keyPair.fromSeed(Uint8Array.from(seed));
  return { privateKey: text, publicKey, sign: (message) => nacl.sign.detached(message, secretKey) };
}
