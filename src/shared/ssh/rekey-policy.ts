/** When keys are exchanged anew: by us often enough (ssh2 never does), by the peer not too often (ssh2 lets it). RFC 4253, 9. */
import type { Clock, Timer } from '../clock.ts';
import type { SshLimits } from './limits.ts';
import type { Ssh2Connection } from './ssh2-internals.ts';

export interface RekeyPolicyOptions {
  connection: Ssh2Connection;
  limits: SshLimits;
  clock: Clock;
  /** Uniform in [0, 1). */
  random: () => number;
  /** Cuts the connection. */
  kill: (reason: 'rekey_flood' | 'rekey_timeout') => void;
}

export class RekeyPolicy {
  readonly #options: RekeyPolicyOptions;
  #handshakes = 0;
  #startedByUs = false;
  /** Monotonic ms when the running exchange was first seen. */
  #runningSince: number | undefined;
  #bytesAtExchange = 0;
  #tokens: number;
  #tokensAt = 0;
  #timer: Timer | undefined;

  constructor(options: RekeyPolicyOptions) {
    this.#options = options;
    this.#tokens = options.limits.rekeyBurst;
  }

  /** To be called after each finished key exchange, the first included. */
  onHandshake(): void {
    this.#handshakes += 1;
    this.#runningSince = undefined;
    this.#bytesAtExchange = this.#bytes;
    if (this.#handshakes === 1) this.#tokensAt = this.#options.clock.monotonic();
    else if (!this.#startedByUs) this.#charge();
    this.#startedByUs = false;
    this.#arm();
  }

  /** To be called when bytes have arrived. */
  onData(): void {
    if (this.#handshakes === 0) return;
    if (this.#options.connection._protocol._kexinit !== undefined) this.#watchRunning();
    else if (this.#bytes - this.#bytesAtExchange >= this.#options.limits.rekeyBytes) this.#rekey();
  }

  stop(): void {
    this.#timer?.cancel();
    this.#timer = undefined;
  }

  get #bytes(): number {
    const { bytesRead, bytesWritten } = this.#options.connection._sock;
    return bytesRead + bytesWritten;
  }

  #arm(): void {
    const { clock, limits, random } = this.#options;
    this.#timer?.cancel();
    const delayMs = limits.rekeyIntervalMs * (0.9 + 0.2 * random());
    this.#timer = clock.after(delayMs, () => this.#rekey(), { unref: true });
  }

  #rekey(): void {
    const { _protocol } = this.#options.connection;
    if (_protocol._kexinit !== undefined) return;
    this.#startedByUs = true;
    _protocol.rekey();
  }

  /** A token bucket: one exchange of the peer's making takes one token. */
  #charge(): void {
    const { clock, limits, kill } = this.#options;
    const now = clock.monotonic();
    const refill = ((now - this.#tokensAt) / 1000) * limits.rekeysPerSecond;
    this.#tokens = Math.min(limits.rekeyBurst, this.#tokens + refill) - 1;
    this.#tokensAt = now;
    if (this.#tokens < 0) kill('rekey_flood');
  }

  /** A peer that begins an exchange and then drips bytes would hold all channels up; one that is silent dies of the keepalive. */
  #watchRunning(): void {
    const { clock, limits, kill } = this.#options;
    const now = clock.monotonic();
    this.#runningSince ??= now;
    if (now - this.#runningSince > limits.rekeyTimeoutMs) kill('rekey_timeout');
  }
}
