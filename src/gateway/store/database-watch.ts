/** Detects when the files of the database vanish, are replaced or emptied under the running gateway: what it writes then is lost. */
import { statSync } from 'node:fs';
import type { Clock } from '../../shared/clock.ts';
import { systemErrorCode } from '../../shared/errors.ts';
import { FaultWatch } from '../../shared/fault-watch.ts';
import type { Logger } from '../../shared/logger.ts';

/** SQLite's log stands beside its database. */
const WAL = '-wal';

/** Remembers at once which files they are; `file` must be open in WAL mode, and written to. */
export function watchDatabase({ file, clock, logger }: { file: string; clock: Clock; logger: Logger }): FaultWatch {
  const files = [file, `${file}${WAL}`].map((name) => ({ name, id: look(name).id }));
  const find = (): string | null => {
    for (const { name, id } of files) {
      const present = look(name);
      // The log may be empty, but an open database begins with a page.
      const isEmptied = present.isEmpty && !name.endsWith(WAL);
      if (present.id === id && !isEmptied) continue;
      const isOther = /^\d/.test(present.id) && present.id !== id;
      const what = isOther ? 'was replaced by another file' : isEmptied ? 'was emptied' : `is gone (${present.id})`;
      return `the database file ${name} ${what}: put it back, or what this gateway stores now is lost when it stops`;
    }
    return null;
  };
  const words = {
    onset: 'the database was taken away from the running gateway',
    end: 'the files of the database are back',
  };
  return new FaultWatch({ find, ...words, clock, logger });
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
