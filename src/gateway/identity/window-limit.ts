/** Limits how often a key may do something within a time window. */
import type { Clock } from '../../shared/clock.ts';

/** Keys remembered; an attacker with more of them is not stopped by counting. */
const MAX_KEYS = 10_000;

export class WindowLimit {
  readonly #clock: Clock;
  readonly #most: number;
  readonly #windowMs: number;
  readonly #windows = new Map<string, { count: number; endsAt: number }>();

  /** At most `most` times in `windowMs`. */
  constructor(clock: Clock, most: number, windowMs: number) {
    this.#clock = clock;
    this.#most = most;
    this.#windowMs = windowMs;
  }

  isReached(key: string): boolean {
    return (this.#open(key)?.count ?? 0) >= this.#most;
  }

  count(key: string): void {
    const window = this.#open(key);
    if (window !== undefined) {
      window.count += 1;
      return;
    }
    if (this.#windows.size >= MAX_KEYS) this.#prune();
    this.#windows.set(key, { count: 1, endsAt: this.#clock.monotonic() + this.#windowMs });
  }

  #open(key: string): { count: number } | undefined {
    const window = this.#windows.get(key);
    return window !== undefined && window.endsAt > this.#clock.monotonic() ? window : undefined;
  }

  /** Drops windows that have ended, or else the oldest. */
  #prune(): void {
    const now = this.#clock.monotonic();
    for (const [key, { endsAt }] of this.#windows) if (endsAt <= now) this.#windows.delete(key);
    const [oldest] = this.#windows.keys();
    if (this.#windows.size >= MAX_KEYS && oldest !== undefined) this.#windows.delete(oldest);
  }
}
