/**
 * Both sides of the first key exchange. A server waits for the client's list of algorithms before it shows its own: strict key exchange,
 * which closes Terrapin (CVE-2023-48795), is announced only to clients that announce it, and others are offered nothing that needs it
 * (docs/adr/0023). A client sends its list early, so that this wait costs no round trip.
 */
import type { Timer } from '../../clock.ts';
import { GCM_CIPHERS, STRICT_KEX } from '../algorithms.ts';
import { SshReader } from '../ssh-wire.ts';
import type { AlgorithmOffer, Guard, Ssh2Connection } from './internals.ts';

const KEXINIT = 20;
/** Message number and cookie, which precede the lists. RFC 4253, 7.1. */
const KEXINIT_HEADER_BYTES = 17;

type HoldGuard = Pick<Guard<'limits' | 'clock'>, 'internals' | 'options' | 'isCut' | 'kill' | 'blame'>;

export class HeldKexInit {
  readonly #guard: HoldGuard;
  #isHeld = false;
  #timer: Timer | undefined;

  constructor(guard: HoldGuard) {
    this.#guard = guard;
  }

  /** Call it when the client's identification line has come, before ssh2 answers with its list. */
  hold(): void {
    const guard = this.#guard;
    const { _cipher: cipher, _decipher: decipher } = guard.internals._protocol;
    if (decipher === undefined) throw new TypeError('the identification line has not come yet');
    this.#isHeld = true;
    const encrypt = cipher.encrypt.bind(cipher);
    cipher.encrypt = (packet) => {
      if (!this.#isHeld || payloadTypeOf(packet) !== KEXINIT) encrypt(packet);
    };
    const onPayload = decipher._onPayload;
    decipher._onPayload = (payload) => {
      if (guard.isCut) return undefined;
      // Strict key exchange demands it, and no client has anything else to say.
      if (payload[0] !== KEXINIT) return guard.kill('early_message');
      decipher._onPayload = onPayload;
      this.#onClientList(payload);
      return onPayload(payload);
    };
    const { clock, limits } = guard.options;
    this.#timer = clock.after(limits.kexInitHoldMs, () => this.#show(false), { unref: true });
  }

  /** Forgets the list, at the end of the connection. Idempotent. */
  drop(): void {
    this.#isHeld = false;
    this.#timer?.cancel();
  }

  #onClientList(payload: Buffer): void {
    const { kex, ciphers } = readLists(payload);
    if (this.#isHeld) this.#show(kex?.includes(STRICT_KEX.client) === true);
    const isSafe = ciphers.every((names) => names === undefined || GCM_CIPHERS.some((name) => names.includes(name)));
    if (this.#guard.internals._protocol._strictMode === false && !isSafe) this.#guard.blame('needs_strict_kex');
  }

  /** Sends our list. No strict key exchange now means none in any later exchange of this connection. */
  #show(isStrict: boolean): void {
    const { _protocol } = this.#guard.internals;
    this.drop();
    if (!isStrict) {
      _protocol._offer = withoutStrictKex(_protocol._offer);
      _protocol._strictMode = false;
    }
    // Replaces the list that ssh2 has made and not sent. Everything else in the queue keeps waiting for the keys.
    const { _queue } = _protocol;
    _protocol._kexinit = undefined;
    _protocol.rekey();
    _protocol._queue = _queue;
  }
}

/** Key exchanges, and ciphers of both directions; undefined where the list is malformed, which ssh2 will refuse. */
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

/** Sends the list of a client that is not connected yet along with its identification line, as RFC 4253, 4.2 allows. */
export function sendKexInitEarly({ _protocol, _sock }: Ssh2Connection): void {
  const { start, _cipher: cipher } = _protocol;
  if (start === undefined) throw new TypeError('the identification line has already been sent');
  _protocol.start = () => {
    // One segment.
    _sock.cork();
    start();
    _protocol.rekey();
    _sock.uncork();
    const sent = _protocol._kexinit;
    // Nothing waits for the keys yet.
    _protocol._queue = undefined;
    const encrypt = cipher.encrypt.bind(cipher);
    // ssh2 makes another list when the gateway's line has come; the one that was sent counts.
    cipher.encrypt = (packet) => {
      if (payloadTypeOf(packet) !== KEXINIT) return encrypt(packet);
      cipher.encrypt = encrypt;
      _protocol._kexinit = sent;
    };
  };
}

/** The message number in an unencrypted packet, after its length and padding length. RFC 4253, 6. */
function payloadTypeOf(packet: Uint8Array): number | undefined {
  return packet[5];
}
