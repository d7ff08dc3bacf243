/** Forgets jobs that ended long ago: now and then, in small steps, with pauses in which everybody else goes on. */
import type { Clock, Timer } from '../../shared/clock.ts';
import type { Logger } from '../../shared/logger.ts';
import type { Store } from '../store/store.ts';

/** Between two looks for jobs that are too old, ms. */
const LOOK_INTERVAL_MS = 10 * 60_000;
/** After the start, when all nodes come back at once, ms. */
const FIRST_LOOK_MS = 60_000;
/** Between two steps, ms. */
const STEP_PAUSE_MS = 25;

export interface RetentionOptions {
  store: Pick<Store, 'write' | 'retention'>;
  clock: Clock;
  logger: Logger;
  /** How long a job is kept after the end of its last run, ms. */
  retentionMs: number;
}

export class Retention {
  readonly #options: RetentionOptions;
  #timer: Timer | undefined;
  /** Since the look began. */
  #deletedJobs = 0;
  #closed = false;

  constructor(options: RetentionOptions) {
    this.#options = options;
  }

  start(): void {
    this.#after(FIRST_LOOK_MS);
  }

  close(): void {
    this.#closed = true;
    this.#timer?.cancel();
  }

  #after(delayMs: number): void {
    if (this.#closed) return;
    const { clock, logger } = this.#options;
    this.#timer = clock.after(delayMs, () => {
      this.#step().then(
        (goesOn) => this.#after(goesOn ? STEP_PAUSE_MS : LOOK_INTERVAL_MS),
        (error: unknown) => {
          logger.error({ err: error }, 'old jobs could not be deleted');
          this.#after(LOOK_INTERVAL_MS);
        },
      );
    });
  }

  /** One piece; whether there is more to do at once. */
  async #step(): Promise<boolean> {
    const { store, clock, retentionMs, logger } = this.#options;
    const now = clock.now();
    const { jobs, more } = await store.write(() => store.retention.deleteStep(now - retentionMs, now));
    this.#deletedJobs += jobs;
    if (more) return true;
    if (this.#deletedJobs > 0) logger.info({ jobs: this.#deletedJobs }, 'deleted old jobs');
    this.#deletedJobs = 0;
    return await store.write(() => store.retention.shrinkStep());
  }
}
