/** Reads one figure of the heartbeat so that neither its failure nor its silence holds up the others. */
import type { Clock } from '../../shared/clock.ts';
import type { Logger } from '../../shared/logger.ts';

interface ProbeOptions<T> {
  /** For the log. */
  name: string;
  read: () => Promise<T>;
  /** How long an answer or a failure is reused, ms; 0 reads every time. */
  maxAgeMs: number;
  clock: Clock;
  logger: Logger;
}

/** Caches the last reading and never starts a second read, so that a call that hangs in the kernel occupies only one thread. */
export class Probe<T> {
  readonly #options: ProbeOptions<T>;
  #value: T | null = null;
  /** When the last read ended, successfully or not, monotonic ms. */
  #readAt = Number.NEGATIVE_INFINITY;
  #pending: Promise<void> | undefined;
  #overdue = false;

  constructor(options: ProbeOptions<T>) {
    this.#options = options;
  }

  /** The figure, or null when it isn't available within `deadlineMs`. A late answer serves the next call. Never rejects. */
  async get(deadlineMs: number): Promise<T | null> {
    const { maxAgeMs, clock } = this.#options;
    if (clock.monotonic() - this.#readAt < maxAgeMs) return this.#value;
    if (this.#pending === undefined) {
      this.#overdue = false;
      this.#pending = this.#read().finally(() => {
        this.#pending = undefined;
      });
    } else if (this.#overdue) {
      return null;
    }
    return (await this.#settles(this.#pending, deadlineMs)) ? this.#value : null;
  }

  async #read(): Promise<void> {
    const { name, read, clock, logger } = this.#options;
    try {
      this.#value = await read();
    } catch (error) {
      this.#value = null;
      logger.debug({ metric: name, err: error }, 'metric not available');
    }
    this.#readAt = clock.monotonic();
  }

  #settles(pending: Promise<void>, deadlineMs: number): Promise<boolean> {
    const { name, clock, logger } = this.#options;
    const { promise, resolve } = Promise.withResolvers<boolean>();
    const onDeadline = (): void => {
      this.#overdue = true;
      logger.debug({ metric: name, deadlineMs }, 'metric is late');
      resolve(false);
    };
    const timer = clock.after(deadlineMs, onDeadline, { unref: true });
    void pending.then(() => {
      timer.cancel();
      resolve(true);
    });
    return promise;
  }
}
