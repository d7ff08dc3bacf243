/** What SQLite throws, as errors of fleet: by result code (sqlite.org/rescode.html), because some pass by themselves and others never do. */
import Database from 'better-sqlite3';
import { type ErrorCode, FleetError, toFleetError } from './errors.ts';

/** By primary result code; extended ones, such as SQLITE_IOERR_FSYNC, begin with it. The rest is a defect: `internal`. */
const CODES: readonly [RegExp, ErrorCode][] = [
  [/^SQLITE_(BUSY|LOCKED|PROTOCOL)/, 'storage_busy'],
  [/^SQLITE_(CORRUPT|NOTADB|FORMAT)/, 'storage_corrupt'],
  [/^SQLITE_(CONSTRAINT|MISMATCH)/, 'storage_conflict'],
  [/^SQLITE_TOOBIG/, 'too_large'],
  [/^SQLITE_(FULL|IOERR|READONLY|CANTOPEN|PERM|AUTH|NOMEM|NOLFS|INTERRUPT)/, 'storage_failed'],
];

/**
 * `what` failed with `error`. A FleetError passes unchanged; what is not SQLite's becomes `internal`.
 * @param ifDamaged What to do when the file is damaged.
 */
export function sqliteFailure(error: unknown, what: string, ifDamaged?: string): FleetError {
  if (!(error instanceof Database.SqliteError)) return toFleetError(error);
  const code = CODES.find(([pattern]) => pattern.test(error.code))?.[1] ?? 'internal';
  const full = error.code.startsWith('SQLITE_FULL') ? 'The disk is full: make room, then try again.' : undefined;
  return new FleetError(code, `${what}: ${error.message} (${error.code})`, {
    hint: code === 'storage_corrupt' ? ifDamaged : full,
    cause: error,
  });
}
