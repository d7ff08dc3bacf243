/** The gateway's SQLite file: opened, brought to the present schema, and written in grouped durable transactions. */
import { statSync } from 'node:fs';
import Database from 'better-sqlite3';
import { FleetError } from '../../shared/errors.ts';
import { createPrivateFile } from '../../shared/private-file.ts';
import { sqliteFailure } from '../../shared/sqlite.ts';

export type Sqlite = Database.Database;

/**
 * Opens `file`, creating it if need be, with WAL and synchronous=FULL (sqlite.org/pragma.html#pragma_synchronous: in WAL
 * mode only FULL survives a power cut).
 * @param steps The schema: step N brings `user_version` from N to N+1.
 * @param mayBeNew Whether a missing or empty file becomes a new database.
 * @throws FleetError `storage_failed` when it cannot be opened, `storage_corrupt` when it is damaged, `config_invalid` when a newer fleet made it,
 * `database_missing` when there is none and there may be no new one.
 */
export function openDatabase(file: string, steps: readonly string[], mayBeNew = true): Sqlite {
  let database: Sqlite | undefined;
  // Before SQLite sees the file: of an empty one it would throw away what is left of its log.
  if (!mayBeNew && (statSync(file, { throwIfNoEntry: false })?.size ?? 0) === 0) throw databaseMissing(file);
  try {
    // SQLite gives its other files the mode that this one has.
    if (file !== ':memory:') createPrivateFile(file);
    database = new Database(file);
    // Of effect on a new file only, and only before anything else is written: lets old jobs give their space back in small steps.
    database.pragma('auto_vacuum = INCREMENTAL');
    database.pragma('journal_mode = WAL');
    database.pragma('synchronous = FULL');
    // A reader that opens the file beside us (a backup, a curious person) may hold a lock for a moment.
    database.pragma('busy_timeout = 5000');
  } catch (error) {
    database?.close();
    const failure = storageError(error, `cannot open the database ${file}`);
    if (failure.code !== 'internal') throw failure;
    // A folder that is missing is no SqliteError.
    throw new FleetError('storage_failed', `cannot open the database ${file}: ${failure.message}`, { cause: error });
  }
  try {
    // A step that makes a table anew drops the old one, which must not delete what refers to it (sqlite.org/lang_altertable.html, 7).
    database.pragma('foreign_keys = OFF');
    if (!mayBeNew && schemaVersion(database) === 0) throw databaseMissing(file);
    migrate(database, file, steps);
    database.pragma('foreign_keys = ON');
  } catch (error) {
    database.close();
    throw storageError(error, `cannot bring the database ${file} up to date`);
  }
  return database;
}

function databaseMissing(file: string): FleetError {
  return new FleetError('database_missing', `the gateway has keys, but its database ${file} is missing or empty`, {
    hint: 'Mount or restore it. To start without it, so that nodes and people must be let in again: fleet gateway up --new-database',
  });
}

function schemaVersion(database: Sqlite): number {
  return database.pragma('user_version', { simple: true }) as number;
}

function migrate(database: Sqlite, file: string, steps: readonly string[]): void {
  const present = schemaVersion(database);
  if (present > steps.length) {
    throw new FleetError(
      'config_invalid',
      `${file} was written by a newer fleet (schema ${present}, known ${steps.length})`,
      {
        hint: 'Install that newer fleet again, or restore a backup of the database.',
      },
    );
  }
  for (let version = present; version < steps.length; version += 1) {
    database.transaction(() => {
      database.exec(steps[version] ?? '');
      assertReferences(database);
      database.pragma(`user_version = ${version + 1}`);
    })();
  }
}

/** Foreign keys are off while a step is done: says so if one of them leads nowhere after it. */
function assertReferences(database: Sqlite): void {
  const [broken] = database.pragma('foreign_key_check') as { table: string; rowid: number; parent: string }[];
  if (broken === undefined) return;
  const { table, rowid, parent } = broken;
  throw new FleetError('storage_corrupt', `row ${rowid} of ${table} refers to a row of ${parent} that is not there`);
}

/** What SQLite threw, by its kind; a FleetError passes unchanged. */
export function storageError(error: unknown, what: string): FleetError {
  return sqliteFailure(
    error,
    what,
    'The file is damaged: restore a backup of it. Without one, move it away and start with --new-database; then every node must be let in again.',
  );
}
