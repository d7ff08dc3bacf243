/** When keys are renewed: by us often enough (ssh2 never does), by the peer not too often (ssh2 lets it); RFC 4253, 9. And in which form. */
import { createSecretKey, type KeyObject } from 'node:crypto';
import type { Timer } from '../../clock.ts';
import type { Guard, Ssh2Connection } from './internals.ts';

type RekeyGuard = Pick<Guard<'limits' | 'clock' | 'random'>, 'internals' | 'options' | 'kill'>;

export class RekeyPolicy {
  readonly #guard: RekeyGuard;
  #handshakes = 0;
  #startedByUs = false;
  /** Monotonic ms at which the exchange in progress was first seen. */
  #runningSince: number | undefined;
  #bytesAtExchange = 0;
  #tokens: number;
  #tokensAt = 0;
  #timer: Timer | undefined;

  constructor(guard: RekeyGuard) {
    this.#guard = guard;
    this.#tokens = guard.options.limits.rekeyBurst;
  }

  /** Call it after each completed key exchange, including the first. */
  onHandshake(): void {
    this.#handshakes += 1;
    this.#runningSince = undefined;
    this.#bytesAtExchange = this.#bytes;
    if (this.#handshakes === 1) this.#tokensAt = this.#guard.options.clock.monotonic();
    else if (!this.#startedByUs) this.#charge();
    this.#startedByUs = false;
    this.#arm();
  }

  /** Call it when bytes have arrived. */
  onData(): void {
    if (this.#handshakes === 0) return;
    if (this.#guard.internals._protocol._kexinit !== undefined) this.#watchRunning();
    else if (this.#bytes - this.#bytesAtExchange >= this.#guard.options.limits.rekeyBytes) this.#rekey();
  }

  stop(): void {
    this.#timer?.cancel();
    this.#timer = undefined;
  }

  get #bytes(): number {
    const { bytesRead, bytesWritten } = this.#guard.internals._sock;
    return bytesRead + bytesWritten;
  }

  #arm(): void {
    const { clock, limits, random } = this.#guard.options;
    this.#timer?.cancel();
    const delayMs = limits.rekeyIntervalMs * (0.9 + 0.2 * random());
    this.#timer = clock.after(delayMs, () => this.#rekey(), { unref: true });
  }

  #rekey(): void {
    const { _protocol } = this.#guard.internals;
    if (_protocol._kexinit !== undefined) return;
    this.#startedByUs = true;
    _protocol.rekey();
  }

  /** A token bucket: each exchange that the peer starts takes one token. */
  #charge(): void {
    const { clock, limits } = this.#guard.options;
    const now = clock.monotonic();
    const refill = ((now - this.#tokensAt) / 1000) * limits.rekeysPerSecond;
    this.#tokens = Math.min(limits.rekeyBurst, this.#tokens + refill) - 1;
    this.#tokensAt = now;
    if (this.#tokens < 0) this.#guard.kill('rekey_flood');
  }

  /** A peer that starts an exchange and then drips bytes would block all channels; keepalives catch a silent one. */
  #watchRunning(): void {
    const { clock, limits } = this.#guard.options;
    const now = clock.monotonic();
    this.#runningSince ??= now;
    if (now - this.#runningSince > limits.rekeyTimeoutMs) this.#guard.kill('rekey_timeout');
  }
}

/**
 * Gives ssh2's ciphers their keys as key objects; call it after each key exchange. AES-GCM makes a cipher for each packet, and node:crypto
 * examines and copies a Buffer key each time: four fifths of the cost of a small packet. Ciphers without these fields are left alone.
 */
export function useKeyObjects({ _protocol: { _cipher, _decipher } }: Pick<Ssh2Connection, '_protocol'>): void {
  if (_cipher?._encKey !== undefined) _cipher._encKey = asKeyObject(_cipher._encKey);
  if (_decipher?._decipherKey !== undefined) _decipher._decipherKey = asKeyObject(_decipher._decipherKey);
}

function asKeyObject(key: Buffer | KeyObject): KeyObject {
  return Buffer.isBuffer(key) ? createSecretKey(key) : key;
}
