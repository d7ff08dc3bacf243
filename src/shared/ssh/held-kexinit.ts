/**
 * Why a server waits for the client's list of algorithms before it shows its own: strict key exchange, which closes Terrapin
 * (CVE-2023-48795), is announced to who announces it, and without it nothing is offered that needs it. docs/adr/0023.
 */
import type { Clock, Timer } from '../clock.ts';
import { GCM_CIPHERS, STRICT_KEX } from './algorithms.ts';
import { KEXINIT } from './filter-messages.ts';
import { SshReader } from './ssh-wire.ts';
import { type AlgorithmOffer, payloadTypeOf, type Ssh2Protocol } from './ssh2-internals.ts';

/** Message number and cookie, which come before the lists. RFC 4253, 7.1. */
const KEXINIT_HEADER_BYTES = 17;

export interface HeldKexInitOptions {
  protocol: Ssh2Protocol;
  /** A client that has shown no list by then gets to see ours, ms. */
  holdMs: number;
  clock: Clock;
  /** Whether the connection is being cut, and what is left of a chunk that came before must have no effect. */
  isCut: () => boolean;
  /** Cuts the connection. */
  kill: (violation: 'early_message') => void;
  /** Tells why ssh2 is about to refuse the client. */
  blame: (reason: 'needs_strict_kex') => void;
}

export class HeldKexInit {
  readonly #options: HeldKexInitOptions;
  #isHeld = false;
  #timer: Timer | undefined;

  constructor(options: HeldKexInitOptions) {
    this.#options = options;
  }

  /** To be called when the client's identification line has come, before ssh2 answers it with its list. */
  hold(): void {
    const { protocol, holdMs, clock, isCut, kill } = this.#options;
    const { _cipher: cipher, _decipher: decipher } = protocol;
    if (decipher === undefined) throw new TypeError('the identification line has not come yet');
    this.#isHeld = true;
    const encrypt = cipher.encrypt.bind(cipher);
    cipher.encrypt = (packet) => {
      if (!this.#isHeld || payloadTypeOf(packet) !== KEXINIT) encrypt(packet);
    };
    const onPayload = decipher._onPayload;
    decipher._onPayload = (payload) => {
      if (isCut()) return undefined;
      // Strict key exchange demands it; and what else would a client have to say?
      if (payload[0] !== KEXINIT) return kill('early_message');
      decipher._onPayload = onPayload;
      this.#onClientList(payload);
      return onPayload(payload);
    };
    this.#timer = clock.after(holdMs, () => this.#show(false), { unref: true });
  }

  /** Forgets the list, for the end of the connection. Idempotent. */
  drop(): void {
    this.#isHeld = false;
    this.#timer?.cancel();
  }

  #onClientList(payload: Buffer): void {
    const { kex, ciphers } = readLists(payload);
    if (this.#isHeld) this.#show(kex?.includes(STRICT_KEX.client) === true);
    const isSafe = ciphers.every((names) => names === undefined || GCM_CIPHERS.some((name) => names.includes(name)));
    if (this.#options.protocol._strictMode === false && !isSafe) this.#options.blame('needs_strict_kex');
  }

  /** Sends our list. Without strict key exchange, that is settled for the whole connection, its later exchanges included. */
  #show(isStrict: boolean): void {
    const { protocol } = this.#options;
    this.drop();
    if (!isStrict) {
      protocol._offer = withoutStrictKex(protocol._offer);
      protocol._strictMode = false;
    }
    // In place of the list that ssh2 has made already, and nobody has seen. Whatever else waits, goes on waiting for the keys.
    const { _queue } = protocol;
    protocol._kexinit = undefined;
    protocol.rekey();
    protocol._queue = _queue;
  }
}

/** The key exchanges, and the ciphers of both directions; undefined where the list is broken, which ssh2 will refuse. */
function readLists(payload: Buffer): { kex: string[] | undefined; ciphers: (string[] | undefined)[] } {
  const reader = new SshReader(payload.subarray(KEXINIT_HEADER_BYTES));
  const readNames = (): string[] | undefined => reader.string()?.toString('latin1').split(',');
  const [kex, , ...ciphers] = [readNames(), readNames(), readNames(), readNames()];
  return { kex, ciphers };
}

function withoutStrictKex(offer: AlgorithmOffer): AlgorithmOffer {
  const { kex, serverHostKey, cs } = offer.lists;
  const both = { cipher: GCM_CIPHERS, mac: cs.mac.array, compress: cs.compress.array, lang: cs.lang.array };
  return new offer.constructor({
    kex: kex.array.filter((name) => name !== STRICT_KEX.server),
    serverHostKey: serverHostKey.array,
    cs: both,
    sc: both,
  });
}
