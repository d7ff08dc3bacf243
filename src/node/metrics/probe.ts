/** One figure of the heartbeat, read so that neither its failure nor its silence can cost the heartbeat. */
import type { Clock } from '../../shared/clock.ts';
import type { Logger } from '../../shared/logger.ts';

interface ProbeOptions<T> {
  /** Name of the figure in the log. */
  name: string;
  read: () => Promise<T>;
  /** How long an answer, or a failure, stands before the figure is read again, ms; 0 reads every time. */
  maxAgeMs: number;
  clock: Clock;
  logger: Logger;
}

/**
 * Caches what `read` gave and never has two reads under way, so that a call that hangs in the kernel holds one thread
 * and not one more each heartbeat.
 */
export class Probe<T> {
  readonly #options: ProbeOptions<T>;
  #value: T | null = null;
  /** Monotonic ms at which the last read ended, well or not. */
  #readAt: number | undefined;
  #pending: Promise<void> | undefined;
  #overdue = false;

  constructor(options: ProbeOptions<T>) {
    this.#options = options;
  }

  /** The figure, or null when it cannot be had within `deadlineMs`. A late answer serves the next call. Never rejects. */
  async get(deadlineMs: number): Promise<T | null> {
    const { maxAgeMs, clock } = this.#options;
    if (this.#readAt !== undefined && clock.monotonic() - this.#readAt < maxAgeMs) return this.#value;
    if (this.#pending === undefined) {
      this.#overdue = false;
      this.#pending = this.#read();
    } else if (this.#overdue) {
      return null;
    }
    return (await this.#settledWithin(this.#pending, deadlineMs)) ? this.#value : null;
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
    this.#pending = undefined;
  }

  #settledWithin(pending: Promise<void>, deadlineMs: number): Promise<boolean> {
    const { name, clock, logger } = this.#options;
    return new Promise((resolve) => {
      const timer = clock.after(
        deadlineMs,
        () => {
          this.#overdue = true;
          logger.debug({ metric: name, deadlineMs }, 'metric is late');
          resolve(false);
        },
        { unref: true },
      );
      void pending.then(() => {
        timer.cancel();
        resolve(true);
      });
    });
  }
}
