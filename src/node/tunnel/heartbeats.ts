/** Sends heartbeats over one open tunnel; a heartbeat that is not answered means that the tunnel is dead, whatever TCP says. */
import type { Heartbeat } from '../../protocol/heartbeat.ts';
import type { Clock, Timer } from '../../shared/clock.ts';
import { toFleetError } from '../../shared/errors.ts';
import type { Logger } from '../../shared/logger.ts';
import type { OpenTunnel } from './connect-once.ts';

/** The second heartbeat comes so soon after the first, ms: it is the first with a round trip and with rates. */
const SECOND_BEAT_MS = 2_000;
/** Shortest interval that a gateway can ask for, ms: each heartbeat reads the machine. */
const MIN_INTERVAL_MS = 250;

interface HeartbeatsOptions {
  tunnel: OpenTunnel;
  /** Reads the machine; `rttMs` is that of the heartbeat before. */
  sample(rttMs: number | null): Promise<Heartbeat>;
  /** Called before each heartbeat: renews the token in good time. */
  beforeBeat(): Promise<void>;
  onAnswer(answer: { name: string; rttMs: number; signingKeys?: string[] | undefined }): void;
  clock: Clock;
  logger: Logger;
}

export class Heartbeats {
  readonly #options: HeartbeatsOptions;
  #timer: Timer | undefined;
  #rttMs: number | null = null;
  #ticking = false;
  #closed = false;

  constructor(options: HeartbeatsOptions) {
    this.#options = options;
  }

  /** Sends the first one; resolves when the gateway has accepted it. */
  async start(): Promise<void> {
    await this.#beat();
    this.#arm(Math.min(SECOND_BEAT_MS, this.#options.tunnel.hello.heartbeatIntervalMs));
  }

  /** Sends one now, unless one is under way, to learn whether the tunnel still lives. */
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

  /** One at a time: by the next heartbeat the gateway knows that the node has stored what the answer to the one before said. */
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
    const answer = await tunnel.client.heartbeat(await sample(this.#rttMs));
    this.#rttMs = answer.rttMs;
    onAnswer(answer);
  }
}
