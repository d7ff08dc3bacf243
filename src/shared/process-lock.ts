/** One process per home: a lock that the kernel drops with the process, however it dies. */
import Database from 'better-sqlite3';
import { FleetError } from './errors.ts';
import { createPrivateFile } from './private-file.ts';
import { sqliteFailure } from './sqlite-error.ts';

/** Keeps the locks of this process reachable: SQLite closes, and so unlocks, what was garbage-collected. */
const HELD = new Set<Database.Database>();

export interface ProcessLock {
  release(): void;
}

/**
 * Takes the lock of `file` or fails at once.
 *
 * SQLite's exclusive transaction is an fcntl(2) lock: unlike a pid file it cannot go stale after kill -9 or a reboot.
 * @throws FleetError `already_running` when another process holds it; `storage_failed` when the file cannot be opened.
 */
export function acquireProcessLock(file: string, who: string, hint?: string): ProcessLock {
  let database: Database.Database | undefined;
  try {
    createPrivateFile(file);
    database = new Database(file, { timeout: 0 });
    database.pragma('journal_mode = DELETE');
    database.exec('BEGIN EXCLUSIVE');
  } catch (error) {
    database?.close();
    throw lockError(error, file, who, hint);
  }
  const held = database;
  HELD.add(held);
  return {
    release: () => {
      HELD.delete(held);
      held.close();
    },
  };
}

function lockError(error: unknown, file: string, who: string, hint: string | undefined): FleetError {
  const failure = sqliteFailure(error, `cannot lock ${file}`, 'It holds nothing: remove it and try again.');
  if (failure.code === 'storage_busy') {
    return new FleetError('already_running', `${who} is already running (it holds ${file})`, { cause: error, hint });
  }
  if (failure.code !== 'internal') return failure;
  return new FleetError('storage_failed', `cannot lock ${file}: ${failure.message}`, {
    hint: 'Check the free space and the rights of the folder.',
    cause: error,
  });
}
