/** Exponential back-off for reconnecting: grows, is capped, and is jittered after the cap so that a fleet does not return in step. */

export interface BackoffOptions {
  /** First delay that is not zero, ms. */
  initialMs: number;
  /** Cap before jitter, ms. */
  maxMs: number;
  /** Uniform in [0, 1). */
  random: () => number;
}

/** Defaults of the node's tunnel: 0.5 s doubling to 30 s. */
export const TUNNEL_BACKOFF = { initialMs: 500, maxMs: 30_000 } as const;

export class Backoff {
  readonly #options: BackoffOptions;
  #failures = 0;

  constructor(options: BackoffOptions) {
    this.#options = options;
  }

  /** Milliseconds to wait before the next attempt: equal jitter, between half and all of the capped exponential. */
  next(): number {
    const { initialMs, maxMs, random } = this.#options;
    const capped = Math.min(maxMs, initialMs * 2 ** Math.min(this.#failures, 30));
    this.#failures += 1;
    return capped / 2 + (capped / 2) * random();
  }

  /** Says that the connection was good for long enough; the next failure starts small again. */
  reset(): void {
    this.#failures = 0;
  }
}
