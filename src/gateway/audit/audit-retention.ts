/** Deletes rows of the audit log that are older than its retention, a piece at a time; the log itself says which. */
import type { Clock, Timer } from '../../shared/clock.ts';
import type { Logger } from '../../shared/logger.ts';
import type { Store } from '../store/store.ts';

/** Between two looks for old rows, ms. */
const LOOK_INTERVAL_MS = 3_600_000;
/** After the start, when all nodes come back at once, ms. */
const FIRST_LOOK_MS = 120_000;
/** Rows of one transaction, and the pause behind it, ms. */
export const STEP_ROWS = 2_000;
const STEP_PAUSE_MS = 25;

export interface AuditRetentionOptions {
  store: Pick<Store, 'write' | 'audit'>;
  clock: Clock;
  logger: Logger;
  /** ms; undefined keeps them for ever. */
  retentionMs: number | undefined;
}

export class AuditRetention {
  readonly #options: AuditRetentionOptions;
  #timer: Timer | undefined;
  #closed = false;

  constructor(options: AuditRetentionOptions) {
    this.#options = options;
  }

  start(): void {
    if (this.#options.retentionMs !== undefined) this.#after(FIRST_LOOK_MS, this.#options.retentionMs);
  }

  close(): void {
    this.#closed = true;
    this.#timer?.cancel();
  }

  #after(delayMs: number, retentionMs: number): void {
    if (this.#closed) return;
    const { store, clock, logger } = this.#options;
    this.#timer = clock.after(delayMs, () => {
      store
        .write(() => store.audit.prune(clock.now() - retentionMs, STEP_ROWS))
        .then(
          (rows) => {
            if (rows > 0) logger.info({ rows }, 'deleted old rows of the audit log');
            this.#after(rows === STEP_ROWS ? STEP_PAUSE_MS : LOOK_INTERVAL_MS, retentionMs);
          },
          (error: unknown) => {
            logger.error({ err: error }, 'old rows of the audit log could not be deleted');
            this.#after(LOOK_INTERVAL_MS, retentionMs);
          },
        );
    });
  }
}
