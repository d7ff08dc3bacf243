/** SQLite errors as FleetErrors, and a process lock made of SQLite's. */
import Database from 'better-sqlite3';
import { type ErrorCode, FleetError, toFleetError } from './errors.ts';
import { createPrivateFile } from './private-file.ts';

/** By primary result code (sqlite.org/rescode.html), the prefix of extended ones such as SQLITE_IOERR_FSYNC. The rest is a defect: `internal`. */
const CODES: readonly [RegExp, ErrorCode][] = [
  [/^SQLITE_(BUSY|LOCKED|PROTOCOL)/, 'storage_busy'],
  [/^SQLITE_(CORRUPT|NOTADB|FORMAT)/, 'storage_corrupt'],
  [/^SQLITE_(CONSTRAINT|MISMATCH)/, 'storage_conflict'],
  [/^SQLITE_TOOBIG/, 'too_large'],
  [/^SQLITE_(FULL|IOERR|READONLY|CANTOPEN|PERM|AUTH|NOMEM|NOLFS|INTERRUPT)/, 'storage_failed'],
];

/**
 * `what` failed with `error`. A FleetError passes unchanged; anything that is not SQLite's becomes `internal`.
 * @param ifDamaged hint for a damaged file
 */
export function sqliteFailure(error: unknown, what: string, ifDamaged?: string): FleetError {
  if (!(error instanceof Database.SqliteError)) return toFleetError(error);
  const code = CODES.find(([pattern]) => pattern.test(error.code))?.[1] ?? 'internal';
  const full = error.code.startsWith('SQLITE_FULL') ? 'The disk is full: free some space, then try again.' : undefined;
  return new FleetError(code, `${what}: ${error.message} (${error.code})`, {
    hint: code === 'storage_corrupt' ? ifDamaged : full,
    cause: error,
  });
}

/** Keeps the locks reachable: SQLite closes, and so unlocks, a database that is garbage-collected. */
const HELD = new Set<Database.Database>();

/**
 * Locks `file` for this process, or fails at once. SQLite's exclusive transaction is an fcntl(2) lock: unlike a pid file it cannot go
 * stale after kill -9 or a reboot.
 * @throws FleetError `already_running` when another process holds it; `storage_failed` when the file cannot be opened.
 */
export function acquireProcessLock(file: string, who: string, hint?: string): { release(): void } {
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
  const failure = sqliteFailure(error, `cannot lock ${file}`, 'It holds no data: remove it and try again.');
  if (failure.code === 'storage_busy')
    return new FleetError('already_running', `${who} is already running (it holds ${file})`, { cause: error, hint });
  if (failure.code !== 'internal') return failure;
  return new FleetError('storage_failed', `cannot lock ${file}: ${failure.message}`, {
    hint: 'Check the free space and the permissions of the folder.',
    cause: error,
  });
}
