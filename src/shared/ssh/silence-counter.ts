/** Counts the keepalives of a connection that were not answered in time, from the silences alone: they are what a user feels. */
import type { Clock } from '../clock.ts';

export class SilenceCounter {
  readonly #clock: Clock;
  readonly #intervalMs: number;
  #heardAt: number;
  #count = 0;

  /** A keepalive is sent after `intervalMs` of silence, and again after each further one; 0 for a connection that sends none. */
  constructor(clock: Clock, intervalMs: number) {
    this.#clock = clock;
    this.#intervalMs = intervalMs;
    this.#heardAt = clock.monotonic();
  }

  /** Says that something came. */
  heard(): void {
    this.#count += this.#lostSinceHeard();
    this.#heardAt = this.#clock.monotonic();
  }

  /** Keepalives after which a whole interval went by in silence, so far. */
  get count(): number {
    return this.#count + this.#lostSinceHeard();
  }

  #lostSinceHeard(): number {
    if (!(this.#intervalMs > 0)) return 0;
    const silenceMs = this.#clock.monotonic() - this.#heardAt;
    return Math.max(0, Math.floor(silenceMs / this.#intervalMs) - 1);
  }
}
