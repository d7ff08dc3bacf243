/** Time as a dependency, so that tests turn the clock instead of sleeping; and a detector for wall clocks that are set. */
import os from 'node:os';

export interface Timer {
  cancel(): void;
}

export interface Clock {
  /** Wall clock, milliseconds since the Unix epoch. May jump. */
  now(): number;
  /** Monotonic milliseconds; only differences mean anything. Stands still while the machine sleeps on Linux. */
  monotonic(): number;
  /** Milliseconds since the machine's start, its sleep included; where absent, {@link monotonic} is as good as it gets. */
  uptime?(): number;
  /** Calls `callback` once after `delayMs`. The timer does not keep the process alive if `unref` is set. */
  after(delayMs: number, callback: () => void, options?: { unref?: boolean }): Timer;
}

/** setTimeout fires at once when it is given more (nodejs.org/api/timers.html), ms: 24.8 days. */
const MAX_TIMER_MS = 2 ** 31 - 1;

export const systemClock: Clock = {
  now: () => Date.now(),
  monotonic: () => performance.now(),
  uptime: () => os.uptime() * 1000,
  after(delayMs, callback, options) {
    let timer: NodeJS.Timeout;
    const arm = (leftMs: number): void => {
      const stepMs = Math.min(leftMs, MAX_TIMER_MS);
      timer = setTimeout(() => (leftMs > stepMs ? arm(leftMs - stepMs) : callback()), stepMs);
      if (options?.unref) timer.unref();
    };
    arm(delayMs);
    return { cancel: () => clearTimeout(timer) };
  },
};

/** Resolves after `delayMs`, or at once when `signal` aborts; never rejects, so look at `signal.aborted` afterwards. */
export function sleep(clock: Clock, delayMs: number, signal?: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal?.aborted) return resolve();
    const done = (): void => {
      timer.cancel();
      signal?.removeEventListener('abort', done);
      resolve();
    };
    const timer = clock.after(delayMs, done);
    signal?.addEventListener('abort', done, { once: true });
  });
}

/** Between two looks, ms. */
const LOOK_INTERVAL_MS = 2_000;
/** A difference that neither a scheduling delay nor a slewed clock explains, ms. */
const STEP_MS = 10_000;

/** Notices steps of the wall clock against a clock that only counts on: {@link Clock.monotonic} also shows that the machine slept. */
export class StepDetector {
  readonly #clock: Clock;
  readonly #onStep: (byMs: number) => void;
  readonly #counted: () => number;
  #timer: Timer | undefined;
  #offset = 0;

  constructor(clock: Clock, onStep: (byMs: number) => void, counted: () => number = () => clock.monotonic()) {
    this.#clock = clock;
    this.#onStep = onStep;
    this.#counted = counted;
  }

  start(): void {
    this.#offset = this.#clock.now() - this.#counted();
    this.#arm();
  }

  close(): void {
    this.#timer?.cancel();
  }

  /** At once; for those who are about to rely on the wall clock. */
  look(): void {
    const offset = this.#clock.now() - this.#counted();
    const byMs = offset - this.#offset;
    this.#offset = offset;
    if (Math.abs(byMs) >= STEP_MS) this.#onStep(byMs);
  }

  #arm(): void {
    const look = (): void => {
      this.#arm();
      this.look();
    };
    this.#timer = this.#clock.after(LOOK_INTERVAL_MS, look, { unref: true });
  }
}
