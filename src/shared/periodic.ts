/** Does a piece of work again and again, never two at once; its close waits for the one under way. */
import type { Clock, Timer } from './clock.ts';

export interface PeriodicOptions {
  /** One piece; resolves with the pause before the next one, ms. */
  step(): Promise<number>;
  onFailure(error: unknown): void;
  /** Pause after a step that failed, ms. */
  retryMs: number;
  clock: Clock;
}

export class Periodic {
  readonly #options: PeriodicOptions;
  #timer: Timer | undefined;
  #running: Promise<void> = Promise.resolve();
  #closed = false;

  constructor(options: PeriodicOptions) {
    this.#options = options;
  }

  /** The first step comes after `delayMs`. */
  start(delayMs: number): void {
    if (this.#closed) return;
    const next = (): void => {
      this.#running = this.#step();
    };
    this.#timer = this.#options.clock.after(delayMs, next, { unref: true });
  }

  /** No step begins after this; resolves when none is under way. Idempotent. */
  async close(): Promise<void> {
    this.#closed = true;
    this.#timer?.cancel();
    await this.#running;
  }

  get isClosed(): boolean {
    return this.#closed;
  }

  async #step(): Promise<void> {
    const { step, onFailure, retryMs } = this.#options;
    let pauseMs = retryMs;
    try {
      pauseMs = await step();
    } catch (error) {
      onFailure(error);
    }
    this.start(pauseMs);
  }
}
