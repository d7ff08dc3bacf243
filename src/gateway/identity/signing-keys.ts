/**
 * The gateway's signing keys: the one that signs, and those that it has replaced, whose tokens are good for a time of grace.
 *
 * Of a replaced key only the public part is kept on disk. The private part stays in memory, for the nodes that have not heard of
 * the new key yet: after a restart of the gateway there are none, since each connect tells it.
 */
import { createPublicKey, type KeyObject } from 'node:crypto';
import { z } from 'zod';
import type { Clock } from '../../shared/clock.ts';
import { FleetError } from '../../shared/errors.ts';
import type { Logger } from '../../shared/logger.ts';
import { readPrivateFile } from '../../shared/private-file.ts';
import { writePrivateFile } from '../../shared/write-file.ts';
import { createKeyText, keyId, loadOrCreateKeyFile, type SigningKey, toSigningKey } from './signing-key.ts';

const COMMENT = 'fleet gateway signing key';

const retiredSchema = z.array(
  z.strictObject({
    /** Raw Ed25519, base64url. */
    publicKey: z.string().length(43),
    /** ms on the gateway's clock. */
    retiredAt: z.number(),
  }),
);
type Retired = z.infer<typeof retiredSchema>[number];

/** What signs and what is believed. */
export interface KeyRing {
  readonly current: SigningKey;
  /** The public key of that id, if its signatures count now. */
  accepted(id: string): KeyObject | undefined;
  /** All whose signatures count now as nodes are told them, the current one first: raw Ed25519, base64url. */
  acceptedRaw(): readonly string[];
}

export interface SigningKeysOptions {
  file: string;
  retiredFile: string;
  /** A replaced key is believed for so long, ms. */
  graceMs: number;
  clock: Clock;
  logger: Logger;
}

export class SigningKeys implements KeyRing {
  readonly #options: SigningKeysOptions;
  readonly #private = new Map<string, SigningKey>();
  #current: SigningKey;
  #retired: readonly Retired[];

  /** Reads or makes the files at once. @throws FleetError `home_insecure`, `config_invalid`, `storage_failed`. */
  constructor(options: SigningKeysOptions) {
    this.#options = options;
    this.#current = toSigningKey(loadOrCreateKeyFile(options.file, COMMENT));
    this.#remember(this.#current);
    this.#retired = readRetired(options.retiredFile);
  }

  get current(): SigningKey {
    return this.#current;
  }

  accepted(id: string): KeyObject | undefined {
    const raw = this.acceptedRaw().find((one) => keyId(Buffer.from(one, 'base64url')) === id);
    return raw === undefined ? undefined : publicKeyOf(raw);
  }

  acceptedRaw(): readonly string[] {
    return [rawOf(this.#current), ...this.#living().map(({ publicKey }) => publicKey)];
  }

  /** The key to sign with for somebody who knows only `publicKey`; the current one if that cannot be done, or without one. */
  signerFor(publicKey: string | undefined): SigningKey {
    return this.#private.get(publicKey ?? '') ?? this.#current;
  }

  /**
   * Replaces the key, and says when the old one ends, ms; `undo` takes that back. A crash at any point leaves one of the two in use, and both
   * believed.
   */
  rotate(): { id: string; graceEndsAt: number; undo(): void } {
    const { file, retiredFile, graceMs, clock, logger } = this.#options;
    const retiredAt = clock.now();
    const before = { current: this.#current, retired: this.#retired, text: readPrivateFile(file) ?? '' };
    const retired = [{ publicKey: rawOf(this.#current), retiredAt }, ...this.#living()];
    // First: whoever finds the new key must find that the old one is to be believed, too.
    writePrivateFile(retiredFile, `${JSON.stringify(retired, null, 2)}\n`);
    const text = createKeyText(COMMENT);
    writePrivateFile(file, text);
    this.#retired = retired;
    this.#current = toSigningKey(text);
    this.#remember(this.#current);
    const undo = (): void => {
      this.#current = before.current;
      this.#retired = before.retired;
      try {
        writePrivateFile(file, before.text);
      } catch (error) {
        logger.error(
          { err: error },
          'the former signing key could not be put back; the new one counts from the next start',
        );
      }
    };
    return { id: this.#current.id, graceEndsAt: retiredAt + graceMs, undo };
  }

  /** The clock was set: what is left of the grace stays. */
  clockStepped(byMs: number): void {
    if (this.#retired.length === 0) return;
    this.#retired = this.#retired.map(({ publicKey, retiredAt }) => ({ publicKey, retiredAt: retiredAt + byMs }));
    writePrivateFile(this.#options.retiredFile, `${JSON.stringify(this.#retired, null, 2)}\n`);
  }

  #living(): Retired[] {
    const { graceMs, clock } = this.#options;
    const current = rawOf(this.#current);
    // The current one is among them after a crash in the middle of a rotation.
    return this.#retired.filter(
      ({ publicKey, retiredAt }) => publicKey !== current && clock.now() < retiredAt + graceMs,
    );
  }

  #remember(key: SigningKey): void {
    this.#private.set(rawOf(key), key);
  }
}

function readRetired(file: string): Retired[] {
  const text = readPrivateFile(file);
  if (text === undefined) return [];
  try {
    return retiredSchema.parse(JSON.parse(text));
  } catch (error) {
    throw new FleetError('config_invalid', `${file} is damaged`, {
      hint: 'Move it away: tokens of replaced keys end then, and nodes get new ones by themselves.',
      cause: error,
    });
  }
}

function rawOf(key: SigningKey): string {
  return key.rawPublicKey.toString('base64url');
}

function publicKeyOf(raw: string): KeyObject {
  return createPublicKey({ key: { kty: 'OKP', crv: 'Ed25519', x: raw }, format: 'jwk' });
}
