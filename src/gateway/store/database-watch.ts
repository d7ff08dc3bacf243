/** Notices when the files of the database vanish or are replaced under the running gateway: what it writes then goes into files without a name. */
import { statSync } from 'node:fs';
import type { Clock } from '../../shared/clock.ts';
import { systemErrorCode } from '../../shared/errors.ts';
import type { Logger } from '../../shared/logger.ts';
import { Periodic } from '../../shared/periodic.ts';

/** Interval between checks for the log, ms; health and status look for themselves. */
const CHECK_INTERVAL_MS = 5_000;

export interface DatabaseWatchOptions {
  /** Open in WAL mode, and written to. */
  file: string;
  clock: Clock;
  logger: Logger;
}

export class DatabaseWatch {
  readonly #files: readonly { name: string; id: string }[];
  readonly #work: Periodic;
  readonly #logger: Logger;
  #logged: string | null = null;

  /** Remembers at once which files they are. */
  constructor({ file, clock, logger }: DatabaseWatchOptions) {
    this.#files = [file, `${file}-wal`].map((name) => ({ name, id: idOf(name) }));
    this.#logger = logger;
    this.#work = new Periodic({
      step: async () => this.#check(),
      onFailure: (error) => logger.error({ err: error }, 'could not check the files of the database'),
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

  /** What is wrong now; null when the files are those that were opened. */
  get fault(): string | null {
    for (const { name, id } of this.#files) {
      const present = idOf(name);
      if (present === id) continue;
      const what = /^\d/.test(present) ? 'was replaced by another file' : `is gone (${present})`;
      return `the database file ${name} ${what}: put it back, or what this gateway stores now is lost when it stops`;
    }
    return null;
  }

  #check(): number {
    const { fault } = this;
    if (fault !== this.#logged) {
      if (fault === null) this.#logger.warn({}, 'the files of the database are back');
      else this.#logger.error({ fault }, 'the database was taken away from the running gateway');
      this.#logged = fault;
    }
    return CHECK_INTERVAL_MS;
  }
}

/** Device and inode, or the system's error code. */
function idOf(file: string): string {
  try {
    const { dev, ino } = statSync(file, { bigint: true });
    return `${dev}:${ino}`;
  } catch (error) {
    return systemErrorCode(error) ?? String(error);
  }
}
