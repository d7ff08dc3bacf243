/** Deletes rows of the audit log that are older than its retention, a piece at a time; the log itself says which. */

import type { Clock } from '../../shared/clock.ts';
import { Periodic } from '../../shared/clock.ts';
import type { Logger } from '../../shared/logger.ts';
import type { Ages } from '../store/durable-store.ts';
import type { AuditStore } from './audit-log.ts';

/** Between two looks for old rows, ms. */
const LOOK_INTERVAL_MS = 3_600_000;
/** After the start, when all nodes come back at once, ms. */
const FIRST_LOOK_MS = 120_000;
/** Rows of one transaction, and the pause behind it, ms. */
export const STEP_ROWS = 2_000;
const STEP_PAUSE_MS = 25;

export interface AuditRetentionOptions {
  store: Pick<AuditStore, 'write' | 'audit'>;
  clock: Clock;
  logger: Logger;
  ages: Ages;
  /** ms; undefined keeps them for ever. */
  retentionMs: number | undefined;
}

export class AuditRetention {
  readonly #options: AuditRetentionOptions;
  readonly #work: Periodic;

  constructor(options: AuditRetentionOptions) {
    this.#options = options;
    const { clock, logger, retentionMs } = options;
    this.#work = new Periodic({
      step: () => this.#step(retentionMs ?? Number.POSITIVE_INFINITY),
      onFailure: (error) => logger.error({ err: error }, 'old rows of the audit log could not be deleted'),
      retryMs: LOOK_INTERVAL_MS,
      clock,
    });
  }

  start(): void {
    if (this.#options.retentionMs !== undefined) this.#work.start(FIRST_LOOK_MS);
  }

  /** Resolves when a step under way has ended. */
  close(): Promise<void> {
    return this.#work.close();
  }

  async #step(retentionMs: number): Promise<number> {
    const { store, ages, logger } = this.#options;
    const rows = await store.write(() => store.audit.prune(ages.cutoff(retentionMs), STEP_ROWS));
    if (rows > 0) logger.info({ rows }, 'deleted old rows of the audit log');
    return rows === STEP_ROWS ? STEP_PAUSE_MS : LOOK_INTERVAL_MS;
  }
}
