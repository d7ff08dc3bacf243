/** A token bucket per key: a key may open many connections, so limits per connection are not enough. */
import type { Clock } from '../../shared/clock.ts';

/** Keys remembered before idle ones are dropped. */
const MAX_KEYS = 1_000;

interface RateOptions {
  clock: Pick<Clock, 'monotonic'>;
  /** Requests in a row. */
  burst: number;
  /** Time per further request, ms. */
  refillMs: number;
}

interface Bucket {
  left: number;
  at: number;
  refused: number;
}

export class RateByKey {
  readonly #options: RateOptions;
  readonly #buckets = new Map<string, Bucket>();

  constructor(options: RateOptions) {
    this.#options = options;
  }

  /** Refusals of the key since it was last allowed; undefined if it is refused now. */
  take(key: string): number | undefined {
    const { clock, burst, refillMs } = this.#options;
    const now = clock.monotonic();
    const { left, at, refused } = this.#buckets.get(key) ?? { left: burst, at: now, refused: 0 };
    const filled = Math.min(burst, left + (now - at) / refillMs);
    const isTaken = filled >= 1;
    if (this.#buckets.size >= MAX_KEYS) this.#forgetFull(now);
    this.#buckets.set(key, { left: isTaken ? filled - 1 : filled, at: now, refused: isTaken ? 0 : refused + 1 });
    return isTaken ? refused : undefined;
  }

  #forgetFull(now: number): void {
    const { burst, refillMs } = this.#options;
    for (const [key, { left, at }] of this.#buckets) {
      if (left + (now - at) / refillMs >= burst) this.#buckets.delete(key);
    }
  }
}
