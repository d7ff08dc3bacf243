/** Sends heartbeats over one tunnel; one without an answer means that the tunnel is dead, whatever TCP says. */
import type { Heartbeat } from '../../protocol/heartbeat.ts';
import type { Clock, Timer } from '../../shared/clock.ts';
import { toFleetError } from '../../shared/errors.ts';
import type { Logger } from '../../shared/logger.ts';
import type { OpenTunnel } from './connect-once.ts';

/** Delay of the second heartbeat, ms: it is the first with a round trip and rates. */
const SECOND_BEAT_MS = 2_000;
/** Shortest interval that a gateway can request, ms, because each heartbeat reads the machine. */
const MIN_INTERVAL_MS = 250;

interface HeartbeatsOptions {
  tunnel: OpenTunnel;
  /** Reads the machine; `rttMs` is the previous heartbeat's, `lostKeepalives` are those since then. */
  sample(rttMs: number | null, lostKeepalives: number): Promise<Heartbeat>;
  /** Renews the token in time. */
  beforeBeat(): Promise<void>;
  onAnswer(answer: { name: string; rttMs: number; signingKeys?: string[] | undefined }): void;
  clock: Clock;
  logger: Logger;
}

export class Heartbeats {
  readonly #options: HeartbeatsOptions;
  #timer: Timer | undefined;
  #rttMs: number | null = null;
  #lostKeepalives = 0;
  #ticking = false;
  #closed = false;

  constructor(options: HeartbeatsOptions) {
    this.#options = options;
  }

  /** Resolves when the gateway has accepted the first one. */
  async start(): Promise<void> {
    await this.#beat();
    this.#arm(Math.min(SECOND_BEAT_MS, this.#options.tunnel.hello.heartbeatIntervalMs));
  }

  /** Sends one now, unless one is in flight, to find out whether the tunnel is alive. */
  check(): void {
    this.#timer?.cancel();
    void this.#tick();
  }

  close(): void {
    this.#closed = true;
    this.#timer?.cancel();
  }

  #arm(delayMs = this.#options.tunnel.hello.heartbeatIntervalMs): void {
    if (this.#closed) return;
    this.#timer?.cancel();
    this.#timer = this.#options.clock.after(Math.max(MIN_INTERVAL_MS, delayMs), () => void this.#tick());
  }

  /** One at a time: the next heartbeat tells the gateway that the node has stored the previous answer. */
  async #tick(): Promise<void> {
    if (this.#ticking) return;
    this.#ticking = true;
    try {
      await this.#options.beforeBeat();
      await this.#beat();
      this.#arm();
    } catch (error) {
      if (this.#closed) return;
      const { code, message } = toFleetError(error);
      this.#options.logger.warn({ code, reason: message }, 'heartbeat failed');
      this.#options.tunnel.connection.close();
    } finally {
      this.#ticking = false;
    }
  }

  async #beat(): Promise<void> {
    const { tunnel, sample, onAnswer } = this.#options;
    const { lostKeepalives } = tunnel.connection;
    const lost = lostKeepalives - this.#lostKeepalives;
    this.#lostKeepalives = lostKeepalives;
    const answer = await tunnel.client.heartbeat(await sample(this.#rttMs, lost));
    this.#rttMs = answer.rttMs;
    onAnswer(answer);
  }
}
