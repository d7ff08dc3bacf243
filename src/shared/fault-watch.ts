/** A fault of the process's surroundings that comes and goes: available on request, and logged once when it comes and once when it goes. */
import { type Clock, Periodic } from './clock.ts';
import type { Logger } from './logger.ts';

/** Interval between checks for the log, ms. */
const CHECK_INTERVAL_MS = 5_000;

interface FaultWatchOptions {
  /** What is wrong now; null when all is well. Never throws. */
  find: () => string | null;
  /** Log messages. */
  onset: string;
  end: string;
  clock: Clock;
  logger: Pick<Logger, 'warn' | 'error'>;
}

export class FaultWatch {
  readonly #find: () => string | null;
  readonly #work: Periodic;

  constructor({ find, onset, end, clock, logger }: FaultWatchOptions) {
    let logged: string | null = null;
    this.#find = find;
    this.#work = new Periodic({
      step: async () => {
        const fault = find();
        if (fault === logged) return CHECK_INTERVAL_MS;
        if (fault === null) logger.warn({}, end);
        else logger.error({ fault }, onset);
        logged = fault;
        return CHECK_INTERVAL_MS;
      },
      onFailure: () => {},
      retryMs: CHECK_INTERVAL_MS,
      clock,
    });
  }

  start(): void {
    this.#work.start(CHECK_INTERVAL_MS);
  }

  close(): Promise<void> {
    return this.#work.close();
  }

  get faults(): string[] {
    const fault = this.#find();
    return fault === null ? [] : [fault];
  }
}
