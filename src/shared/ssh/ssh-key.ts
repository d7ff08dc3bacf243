/** Ed25519 keys in OpenSSH's formats, so that stock `ssh -i` and `ssh-keygen` read ours and we read theirs. */
import { createHash, createPrivateKey, createPublicKey } from 'node:crypto';
import { FleetError, toFleetError } from '../errors.ts';
import { SshReader, sshString, sshUint32 } from './ssh-wire.ts';

const KEY_TYPE = 'ssh-ed25519';
const MAKE_ONE = 'Make one with: ssh-keygen -t ed25519 -N "" -f FILE';
/** Source for all of this format: PROTOCOL.key in OpenSSH's source tree. */
const MAGIC = Buffer.from('openssh-key-v1\0', 'latin1');
const PEM_BEGIN = '-----BEGIN OPENSSH PRIVATE KEY-----';
const PEM_END = '-----END OPENSSH PRIVATE KEY-----';
const PEM_LINE = /.{1,70}/g;
/** Padding unit of an unencrypted key. */
const BLOCK_BYTES = 8;
const RAW_KEY_BYTES = 32;
/** What precedes the 32 bytes of a seed in PKCS#8 (RFC 8410). */
const PKCS8_PREFIX = Buffer.from('302e020100300506032b657004220420', 'hex');

export interface SshKeyPair {
  /** 32 bytes: the secret. */
  seed: Uint8Array;
  /** 32 bytes. */
  publicKey: Uint8Array;
  comment: string;
}

/** The private key as OpenSSH stores it, unencrypted: PEM-like armour around openssh-key-v1, with a line feed at the end. */
export function encodeOpenSshPrivateKey({ seed, publicKey, comment }: SshKeyPair): string {
  // OpenSSH compares two equal numbers to see whether it decrypted well; unencrypted, any number does.
  const check = createHash('sha256').update(seed).digest().subarray(0, 4);
  const lines = encodeBody(seed, publicKey, comment, check).toString('base64').match(PEM_LINE) ?? [];
  return `${[PEM_BEGIN, ...lines, PEM_END].join('\n')}\n`;
}

function encodeBody(seed: Uint8Array, publicKey: Uint8Array, comment: string | Uint8Array, check: Buffer): Buffer {
  const secret = Buffer.concat([
    check,
    check,
    sshString(KEY_TYPE),
    sshString(publicKey),
    sshString(Buffer.concat([seed, publicKey])),
    sshString(comment),
  ]);
  const paddingBytes = (BLOCK_BYTES - (secret.length % BLOCK_BYTES)) % BLOCK_BYTES;
  const padding = Buffer.from(Array.from({ length: paddingBytes }, (_, index) => index + 1));
  return Buffer.concat([
    MAGIC,
    sshString('none'),
    sshString('none'),
    sshString(''),
    sshUint32(1),
    sshString(sshPublicKeyBlob(publicKey)),
    sshString(Buffer.concat([secret, padding])),
  ]);
}

/**
 * Seed, public key and comment of an unencrypted Ed25519 key in OpenSSH's format.
 * @throws FleetError `config_invalid` when it is encrypted, of another type, or not such a file; the text is never in the message
 */
export function parseOpenSshPrivateKey(text: string): SshKeyPair {
  const body = decodeArmour(text);
  const reader = new SshReader(body);
  if (!reader.bytes(MAGIC.length)?.equals(MAGIC)) throw notAKey();
  const [cipher, kdf, kdfOptions] = [reader.string(), reader.string(), reader.string()];
  if (cipher === undefined || kdf === undefined || kdfOptions === undefined) throw notAKey();
  if (cipher.toString() !== 'none' || kdf.toString() !== 'none') {
    throw new FleetError('config_invalid', 'the private key is encrypted with a passphrase', {
      hint: 'Remove the passphrase with: ssh-keygen -p -N "" -f FILE',
    });
  }
  reader.uint32();
  const blob = reader.string();
  const secret = reader.string();
  if (blob === undefined || secret === undefined) throw notAKey();
  const type = new SshReader(blob).string()?.toString('latin1');
  if (type !== KEY_TYPE) {
    const message = `the private key is of type ${printable(type)}, not ${KEY_TYPE}`;
    throw new FleetError('config_invalid', message, { hint: MAKE_ONE });
  }
  return parseSecret(new SshReader(secret), body);
}

/** check · check · type · public key · seed and public key · comment · padding 1, 2, 3, … */
function parseSecret(secret: SshReader, body: Buffer): SshKeyPair {
  const [check, , , , pair, comment] = [
    secret.bytes(4),
    secret.bytes(4),
    secret.string(),
    secret.string(),
    secret.string(),
    secret.string(),
  ];
  if (check === undefined || pair?.length !== 2 * RAW_KEY_BYTES || comment === undefined) throw notAKey();
  const seed = pair.subarray(0, RAW_KEY_BYTES);
  const publicKey = derivePublicKey(seed);
  // Every other byte follows from these. A file with inconsistent halves would sign with one key and claim another.
  if (!encodeBody(seed, publicKey, comment, check).equals(body)) throw notAKey();
  return { seed: Uint8Array.from(seed), publicKey: Uint8Array.from(publicKey), comment: comment.toString('utf8') };
}

function derivePublicKey(seed: Buffer): Buffer {
  const key = createPrivateKey({ key: Buffer.concat([PKCS8_PREFIX, seed]), format: 'der', type: 'pkcs8' });
  const { x = '' } = createPublicKey(key).export({ format: 'jwk' });
  return Buffer.from(x, 'base64url');
}

/** {@link parseOpenSshPrivateKey} for the file with the own key of a gateway, node or person; its errors name the file. */
export function parseOpenSshKeyFile(file: string, text: string): SshKeyPair {
  try {
    return parseOpenSshPrivateKey(text);
  } catch (error) {
    const { code, message, hint } = toFleetError(error);
    throw new FleetError(code, `${file}: ${message}`, {
      hint: hint === MAKE_ONE ? 'Restore it from a backup: nobody recognizes another key.' : hint,
      cause: error,
    });
  }
}

/** The public key as sent over the wire and, in base64, listed in authorized_keys. RFC 8709, 4. @throws RangeError unless 32 bytes */
export function sshPublicKeyBlob(publicKey: Uint8Array): Buffer {
  if (publicKey.length !== RAW_KEY_BYTES) throw new RangeError(`an Ed25519 key of ${publicKey.length} bytes`);
  return Buffer.concat([sshString(KEY_TYPE), sshString(publicKey)]);
}

/** The 32 bytes in a blob; undefined unless the blob is exactly an Ed25519 key. */
export function rawEd25519FromBlob(blob: Buffer): Buffer | undefined {
  const reader = new SshReader(blob);
  const type = reader.string()?.toString('latin1');
  const publicKey = reader.string();
  if (type !== KEY_TYPE || publicKey?.length !== RAW_KEY_BYTES || reader.remaining !== 0) return undefined;
  return Buffer.from(publicKey);
}

/** `SHA256:…` of a public key's blob, as `ssh-keygen -l` prints it. */
export function formatFingerprint(blob: Uint8Array): string {
  return `SHA256:${createHash('sha256').update(blob).digest('base64').replace(/=+$/, '')}`;
}

function decodeArmour(text: string): Buffer {
  const lines = text.trim().split(/\r?\n/);
  const body = lines.slice(1, -1).join('');
  const armoured = lines[0] === PEM_BEGIN && lines.at(-1) === PEM_END && /^[A-Za-z0-9+/]+={0,2}$/.test(body);
  if (!armoured) throw notAKey();
  return Buffer.from(body, 'base64');
}

function notAKey(): FleetError {
  return new FleetError('config_invalid', 'this is not a private key in OpenSSH format', { hint: MAKE_ONE });
}

function printable(type: string | undefined): string {
  return type !== undefined && /^[\w@.+-]{1,64}$/.test(type) ? type : 'unknown';
}
