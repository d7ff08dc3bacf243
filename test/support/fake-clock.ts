/** A clock that a test turns by hand. */
import type { Clock, Timer } from '../../src/shared/clock.ts';

export class FakeClock implements Clock {
  #now: number;
  #monotonic = 0;
  #timers = new Set<{ at: number; callback: () => void }>();

  constructor(now = Date.UTC(2026, 0, 1)) {
    this.#now = now;
  }

  now(): number {
    return this.#now;
  }

  monotonic(): number {
    return this.#monotonic;
  }

  after(delayMs: number, callback: () => void): Timer {
    const timer = { at: this.#monotonic + delayMs, callback };
    this.#timers.add(timer);
    const refresh = (): void => {
      timer.at = this.#monotonic + delayMs;
      this.#timers.add(timer);
    };
    return { cancel: () => void this.#timers.delete(timer), refresh };
  }

  /** Moves both clocks and fires, in order, what became due. */
  async advance(ms: number): Promise<void> {
    const end = this.#monotonic + ms;
    for (;;) {
      const next = [...this.#timers].filter((timer) => timer.at <= end).sort((a, b) => a.at - b.at)[0];
      if (next === undefined) break;
      this.#now += next.at - this.#monotonic;
      this.#monotonic = next.at;
      this.#timers.delete(next);
      next.callback();
      await new Promise((resolve) => setImmediate(resolve));
    }
    this.#now += end - this.#monotonic;
    this.#monotonic = end;
    await new Promise((resolve) => setImmediate(resolve));
  }

  /** Moves only the wall clock, as a wrong NTP step or a user does. */
  jumpWall(ms: number): void {
    this.#now += ms;
  }

  get pendingTimers(): number {
    return this.#timers.size;
  }
}

/** What is to be deleted for its age, by a clock that nobody sets. */
export function agesOf(clock: Pick<Clock, 'now'>): { cutoff(keptMs: number): number } {
  return { cutoff: (keptMs) => clock.now() - keptMs };
}
