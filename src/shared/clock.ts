/** Time as a dependency, so that tests turn the clock instead of sleeping: timers, back-off, periodic work, steps of the wall clock. */
import os from 'node:os';

export interface Timer {
  cancel(): void;
  /** Restarts the delay, also after the timer has fired; cheap. For delays below 24.8 days. */
  refresh(): void;
}

export interface Clock {
  /** Wall clock, ms since the Unix epoch. May jump. */
  now(): number;
  /** Monotonic ms; only differences mean anything. On Linux it stands still while the machine sleeps. */
  monotonic(): number;
  /** Ms since the machine booted, sleep included; {@link monotonic} is the fallback. */
  uptime?(): number;
  /** Calls `callback` once after `delayMs`. With `unref`, the timer does not keep the process alive. */
  after(delayMs: number, callback: () => void, options?: { unref?: boolean }): Timer;
}

/** Longest delay of setTimeout, which fires at once when given more (nodejs.org/api/timers.html), ms: 24.8 days. */
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
    return { cancel: () => clearTimeout(timer), refresh: () => void timer.refresh() };
  },
};

/** Resolves after `delayMs`, or at once when `signal` aborts; never rejects, so check `signal.aborted` afterwards. */
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

export interface PeriodicOptions {
  /** Resolves with the pause before the next step, ms. */
  step(): Promise<number>;
  onFailure(error: unknown): void;
  /** Pause after a step that failed, ms. */
  retryMs: number;
  clock: Clock;
}

/** Repeats a step, never two at once; `close` waits for the one in progress. */
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

  /** Idempotent. */
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

/** Interval between checks of the wall clock, ms. */
const CHECK_INTERVAL_MS = 2_000;
/** A difference that neither a scheduling delay nor a slewed clock explains, ms. */
const STEP_MS = 10_000;

/** Detects steps of the wall clock against a clock that only counts on; {@link Clock.monotonic} also shows that the machine slept. */
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

  /** Checks now; for code about to rely on the wall clock. */
  look(): void {
    const offset = this.#clock.now() - this.#counted();
    const byMs = offset - this.#offset;
    this.#offset = offset;
    if (Math.abs(byMs) >= STEP_MS) this.#onStep(byMs);
  }

  #arm(): void {
    const check = (): void => {
      this.#arm();
      this.look();
    };
    this.#timer = this.#clock.after(CHECK_INTERVAL_MS, check, { unref: true });
  }
}
