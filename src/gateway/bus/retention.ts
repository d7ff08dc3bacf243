/** Forgets jobs that ended long ago: now and then, in small steps, with pauses in which everybody else goes on. */

import type { Clock } from '../../shared/clock.ts';
import { Periodic } from '../../shared/clock.ts';
import type { Logger } from '../../shared/logger.ts';
import type { Ages } from '../store/durable-store.ts';
import type { BusStore } from './runs-table.ts';

/** Between two looks for jobs that are too old, ms. */
const LOOK_INTERVAL_MS = 10 * 60_000;
/** After the start, when all nodes come back at once, ms. */
const FIRST_LOOK_MS = 60_000;
/** Between two steps, ms. */
const STEP_PAUSE_MS = 25;

export interface RetentionOptions {
  store: Pick<BusStore, 'write' | 'retention'>;
  clock: Clock;
  logger: Logger;
  ages: Ages;
  /** How long a job is kept after the end of its last run, ms. */
  retentionMs: number;
}

export class Retention {
  readonly #options: RetentionOptions;
  readonly #work: Periodic;
  /** Since the look began. */
  #deletedJobs = 0;

  constructor(options: RetentionOptions) {
    this.#options = options;
    const { clock, logger } = options;
    this.#work = new Periodic({
      step: async () => ((await this.#step()) ? STEP_PAUSE_MS : LOOK_INTERVAL_MS),
      onFailure: (error) => logger.error({ err: error }, 'old jobs could not be deleted'),
      retryMs: LOOK_INTERVAL_MS,
      clock,
    });
  }

  start(): void {
    this.#work.start(FIRST_LOOK_MS);
  }

  /** Resolves when a step under way has ended. */
  close(): Promise<void> {
    return this.#work.close();
  }

  /** One piece; whether there is more to do at once. */
  async #step(): Promise<boolean> {
    const { store, ages, clock, retentionMs, logger } = this.#options;
    const now = clock.now();
    const { jobs, more } = await store.write(() => store.retention.deleteStep(ages.cutoff(retentionMs), now));
    this.#deletedJobs += jobs;
    if (more) return true;
    if (this.#deletedJobs > 0) logger.info({ jobs: this.#deletedJobs }, 'deleted old jobs');
    this.#deletedJobs = 0;
    return await store.write(() => store.retention.shrinkStep());
  }
}
