/**
 * The gateway's signing keys, apart from the host key so that they can be rotated: the current one, and replaced ones, whose
 * signatures stay valid for a grace period. Of a replaced key only the public part is kept on disk. The private part stays in memory
 * for nodes that do not know the new key yet; after a restart there are none, because every connect announces it.
 */
import { createHash, createPrivateKey, createPublicKey, generateKeyPairSync, type KeyObject } from 'node:crypto';
import { z } from 'zod';
import type { Clock } from '../../shared/clock.ts';
import { FleetError } from '../../shared/errors.ts';
import type { Logger } from '../../shared/logger.ts';
import { readPrivateFile } from '../../shared/private-file.ts';
import { encodeOpenSshPrivateKey, parseOpenSshKeyFile, parseOpenSshPrivateKey } from '../../shared/ssh/ssh-key.ts';
import { writePrivateFile } from '../../shared/write-file.ts';
import { toPublicKey } from './keys.ts';

const COMMENT = 'fleet gateway signing key';

export interface SigningKey {
  privateKey: KeyObject;
  publicKey: KeyObject;
  /** 32 bytes. */
  rawPublicKey: Buffer;
  /** First 16 hex digits of the public key's SHA-256; the `kid` of what it signs. */
  id: string;
}

const retiredSchema = z.array(
  z.strictObject({
    /** Raw Ed25519, base64url. */
    publicKey: z.string().length(43),
    /** ms on the gateway's clock. */
    retiredAt: z.number(),
  }),
);
type Retired = z.infer<typeof retiredSchema>[number];

export type KeyRing = Pick<SigningKeys, 'current' | 'accepted' | 'acceptedRaw'>;

interface SigningKeysOptions {
  file: string;
  retiredFile: string;
  /** Grace period of a replaced key, ms. */
  graceMs: number;
  clock: Clock;
  logger: Logger;
}

export class SigningKeys {
  readonly #options: SigningKeysOptions;
  /** By public key. */
  readonly #private = new Map<string, SigningKey>();
  #current: SigningKey;
  #retired: readonly Retired[];

  /** Reads or creates the files. @throws FleetError `home_insecure`, `config_invalid`, `storage_failed`. */
  constructor(options: SigningKeysOptions) {
    this.#options = options;
    this.#current = this.#remember(loadOrCreateKeyFile(options.file, COMMENT));
    this.#retired = readRetired(options.retiredFile);
  }

  get current(): SigningKey {
    return this.#current;
  }

  /** The public key with that id, if its signatures are valid now. */
  accepted(id: string): KeyObject | undefined {
    const keys = this.acceptedRaw().map((raw) => Buffer.from(raw, 'base64url'));
    const key = keys.find((raw) => keyId(raw) === id);
    return key && toPublicKey(key);
  }

  /** Raw Ed25519, base64url: all keys whose signatures are valid now, the current one first, as announced to nodes. */
  acceptedRaw(): readonly string[] {
    return [rawOf(this.#current), ...this.#living().map(({ publicKey }) => publicKey)];
  }

  /** The key to sign with for a node that knows only `publicKey`; the current one if that is impossible or unknown. */
  signerFor(publicKey: string | undefined): SigningKey {
    return this.#private.get(publicKey ?? '') ?? this.#current;
  }

  /**
   * Replaces the key and returns the end of the old one's grace period, ms; `undo` reverts that. A crash at any point leaves one of
   * the two in use, and both valid.
   */
  rotate(): { id: string; graceEndsAt: number; undo(): void } {
    const { file, retiredFile, graceMs, clock, logger } = this.#options;
    const retiredAt = clock.now();
    const before = { current: this.#current, retired: this.#retired, text: readPrivateFile(file) ?? '' };
    const retired = [{ publicKey: rawOf(this.#current), retiredAt }, ...this.#living()];
    // First: a start that finds the new key must find the old one among the valid ones.
    writePrivateFile(retiredFile, `${JSON.stringify(retired, null, 2)}\n`);
    const text = createKeyText(COMMENT);
    writePrivateFile(file, text);
    this.#retired = retired;
    this.#current = this.#remember(text);
    const undo = (): void => {
      this.#current = before.current;
      this.#retired = before.retired;
      try {
        writePrivateFile(file, before.text);
      } catch (error) {
        const message = 'the previous signing key could not be restored; the new one applies from the next start';
        logger.error({ err: error }, message);
      }
    };
    return { id: this.#current.id, graceEndsAt: retiredAt + graceMs, undo };
  }

  /** Keeps what remains of the grace periods when the clock was set. */
  clockStepped(byMs: number): void {
    if (this.#retired.length === 0) return;
    this.#retired = this.#retired.map(({ publicKey, retiredAt }) => ({ publicKey, retiredAt: retiredAt + byMs }));
    writePrivateFile(this.#options.retiredFile, `${JSON.stringify(this.#retired, null, 2)}\n`);
  }

  #living(): Retired[] {
    const { graceMs, clock } = this.#options;
    const current = rawOf(this.#current);
    // After a crash during a rotation the current key is among them.
    return this.#retired.filter(
      ({ publicKey, retiredAt }) => publicKey !== current && clock.now() < retiredAt + graceMs,
    );
  }

  #remember(text: string): SigningKey {
    const key = toSigningKey(text);
    this.#private.set(rawOf(key), key);
    return key;
  }
}

/** The text of the Ed25519 key in `file`, in OpenSSH's format, created on first use. @throws FleetError `home_insecure`, `config_invalid`, `storage_failed`. */
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

function createKeyText(comment: string): string {
  const { privateKey } = generateKeyPairSync('ed25519');
  const { d, x } = privateKey.export({ format: 'jwk' });
  const seed = Buffer.from(d ?? '', 'base64url');
  const publicKey = Buffer.from(x ?? '', 'base64url');
  return encodeOpenSshPrivateKey({ seed, publicKey, comment });
}

/** Reads an OpenSSH private key as keys of node:crypto (RFC 8037 JWK). */
export function toSigningKey(text: string): SigningKey {
  const { seed, publicKey } = parseOpenSshPrivateKey(text);
  const rawPublicKey = Buffer.from(publicKey);
  const [d, x] = [Buffer.from(seed).toString('base64url'), rawPublicKey.toString('base64url')];
  const privateKey = createPrivateKey({ key: { kty: 'OKP', crv: 'Ed25519', d, x }, format: 'jwk' });
  return { privateKey, publicKey: createPublicKey(privateKey), rawPublicKey, id: keyId(publicKey) };
}

function keyId(publicKey: Uint8Array): string {
  return createHash('sha256').update(publicKey).digest('hex').slice(0, 16);
}

function readRetired(file: string): Retired[] {
  const text = readPrivateFile(file);
  if (text === undefined) return [];
  try {
    return retiredSchema.parse(JSON.parse(text));
  } catch (error) {
    throw new FleetError('config_invalid', `${file} is damaged`, {
      hint: 'Move it away: tokens of replaced keys become invalid, and nodes get new ones by themselves.',
      cause: error,
    });
  }
}

function rawOf(key: SigningKey): string {
  return key.rawPublicKey.toString('base64url');
}
