/**
 * Gives ssh2's ciphers their keys as key objects. AES-GCM takes a new cipher for each packet, and node:crypto examines and copies a
 * key that is a Buffer each time: four fifths of what a small packet costs.
 */
import { createSecretKey, type KeyObject } from 'node:crypto';
import type { Ssh2Connection } from './ssh2-internals.ts';

/** To be called after each key exchange. Of ciphers that do not keep their key in these fields nothing is changed. */
export function useKeyObjects({ _protocol: { _cipher, _decipher } }: Pick<Ssh2Connection, '_protocol'>): void {
  if (_cipher?._encKey !== undefined) _cipher._encKey = asKeyObject(_cipher._encKey);
  if (_decipher?._decipherKey !== undefined) _decipher._decipherKey = asKeyObject(_decipher._decipherKey);
}

function asKeyObject(key: Buffer | KeyObject): KeyObject {
  return Buffer.isBuffer(key) ? createSecretKey(key) : key;
}
