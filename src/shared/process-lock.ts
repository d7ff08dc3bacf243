/** One process per home: a lock that the kernel drops with the process, however it dies. */
import Database from 'better-sqlite3';
import { FleetError } from './errors.ts';

export interface ProcessLock {
  release(): void;
}

/**
 * Takes the lock of `file` or fails at once.
 *
 * SQLite's exclusive transaction is an fcntl(2) lock: unlike a pid file it cannot go stale after kill -9 or a reboot.
 * @throws FleetError `already_running` when another process holds it; `storage_failed` when the file cannot be opened.
 */
export function acquireProcessLock(file: string, who: string): ProcessLock {
  let database: Database.Database;
  try {
    database = new Database(file, { timeout: 0 });
    database.pragma('journal_mode = DELETE');
  } catch (error) {
    throw lockError(error, file, who);
  }
  try {
    database.exec('BEGIN EXCLUSIVE');
  } catch (error) {
    database.close();
    throw lockError(error, file, who);
  }
  return { release: () => void database.close() };
}

function lockError(error: unknown, file: string, who: string): FleetError {
  const busy = error instanceof Database.SqliteError && error.code.startsWith('SQLITE_BUSY');
  if (busy) {
    return new FleetError('already_running', `${who} is already running (it holds ${file})`, { cause: error });
  }
  return new FleetError('storage_failed', `cannot lock ${file}: ${error instanceof Error ? error.message : error}`, {
    hint: 'Check the free space and the rights of the folder.',
    cause: error,
  });
}
