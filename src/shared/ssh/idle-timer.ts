/** Notices that nothing happened for a while, with one timer however often something happens. */
import type { Clock, Timer } from '../clock.ts';

export class IdleTimer {
  readonly #clock: Clock;
  readonly #onIdle: () => void;
  #limitMs = 0;
  #lastActivity = 0;
  #timer: Timer | undefined;

  constructor(clock: Clock, onIdle: () => void) {
    this.#clock = clock;
    this.#onIdle = onIdle;
  }

  /** Calls `onIdle` after `limitMs` without a {@link touch}; 0 turns it off. */
  start(limitMs: number): void {
    this.stop();
    this.#limitMs = limitMs;
    this.touch();
  }

  /** Says that something happened. */
  touch(): void {
    if (this.#limitMs === 0) return;
    this.#lastActivity = this.#clock.monotonic();
    if (this.#timer === undefined) this.#arm(this.#limitMs);
  }

  stop(): void {
    this.#limitMs = 0;
    this.#timer?.cancel();
    this.#timer = undefined;
  }

  #arm(delayMs: number): void {
    this.#timer = this.#clock.after(delayMs, () => this.#check(), { unref: true });
  }

  #check(): void {
    this.#timer = undefined;
    const leftMs = this.#limitMs - (this.#clock.monotonic() - this.#lastActivity);
    // Timers may fire a fraction of a millisecond early.
    if (leftMs > 1) this.#arm(leftMs);
    else this.#onIdle();
  }
}
