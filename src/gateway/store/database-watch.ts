/** Notices when the files of the database vanish, are replaced or emptied under the running gateway: what it writes then is lost. */
import { statSync } from 'node:fs';
import type { Clock } from '../../shared/clock.ts';
import { systemErrorCode } from '../../shared/errors.ts';
import type { Logger } from '../../shared/logger.ts';
import { Periodic } from '../../shared/periodic.ts';

/** Interval between checks for the log, ms; health and status look for themselves. */
const CHECK_INTERVAL_MS = 5_000;
/** What SQLite's log is called beside its database. */
const WAL = '-wal';

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
    this.#files = [file, `${file}${WAL}`].map((name) => ({ name, id: look(name).id }));
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
      const present = look(name);
      // Its log may be empty, but an open database begins with a page.
      const isEmptied = present.isEmpty && !name.endsWith(WAL);
      if (present.id === id && !isEmptied) continue;
      const isOther = /^\d/.test(present.id) && present.id !== id;
      const what = isOther ? 'was replaced by another file' : isEmptied ? 'was emptied' : `is gone (${present.id})`;
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
function look(file: string): { id: string; isEmpty: boolean } {
  try {
    const { dev, ino, size } = statSync(file, { bigint: true });
    return { id: `${dev}:${ino}`, isEmpty: size === 0n };
  } catch (error) {
    return { id: systemErrorCode(error) ?? String(error), isEmpty: false };
  }
}
