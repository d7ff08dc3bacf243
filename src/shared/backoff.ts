/** Exponential back-off, capped, with jitter after the cap so that a fleet does not return in step. */

export interface BackoffOptions {
  /** First delay before jitter, ms. */
  initialMs: number;
  /** Cap before jitter, ms. */
  maxMs: number;
  /** Uniform in [0, 1). */
  random: () => number;
}

/** Defaults of the node's tunnel: 0.5 s doubling to 30 s. */
export const TUNNEL_BACKOFF = { initialMs: 500, maxMs: 30_000 } as const;

/** Delay after this many failures, ms: equal jitter, between half and all of the capped exponential. */
export function backoffMs(failures: number, { initialMs, maxMs, random }: BackoffOptions): number {
  const capped = Math.min(maxMs, initialMs * 2 ** Math.min(failures - 1, 30));
  return capped / 2 + (capped / 2) * random();
}

export class Backoff {
  readonly #options: BackoffOptions;
  #failures = 0;

  constructor(options: BackoffOptions) {
    this.#options = options;
  }

  next(): number {
    this.#failures += 1;
    return backoffMs(this.#failures, this.#options);
  }

  /** Call it when the connection was good for long enough: the next failure starts small again. */
  reset(): void {
    this.#failures = 0;
  }
}
