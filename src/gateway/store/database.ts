/** Opens the gateway's SQLite file and brings it to the current schema. */
import { statSync } from 'node:fs';
import Database from 'better-sqlite3';
import { FleetError } from '../../shared/errors.ts';
import { createPrivateFile } from '../../shared/private-file.ts';
import { sqliteFailure } from '../../shared/sqlite.ts';

export type Sqlite = Database.Database;

/**
 * Opens `file`, creating it if necessary, with WAL and synchronous=FULL (sqlite.org/pragma.html#pragma_synchronous: in WAL
 * mode only FULL survives a power cut).
 * @param steps The schema: step N brings `user_version` from N to N+1.
 * @param mayBeNew Whether a missing or empty file becomes a new database.
 * @throws FleetError `storage_failed` when it cannot be opened, `storage_corrupt` when it is damaged, `config_invalid` when a newer fleet made it,
 * `database_missing` when there is none and there may be no new one.
 */
export function openDatabase(file: string, steps: readonly string[], mayBeNew = true): Sqlite {
  let database: Sqlite | undefined;
  // Before SQLite opens the file: it would discard what is left of the log of an empty one.
  if (!mayBeNew && (statSync(file, { throwIfNoEntry: false })?.size ?? 0) === 0) throw databaseMissing(file);
  try {
    // SQLite gives its other files the mode of this one.
    if (file !== ':memory:') createPrivateFile(file);
    database = new Database(file);
    // Only works on a new file, before anything else is written; lets deleted jobs return their space in small steps.
    database.pragma('auto_vacuum = INCREMENTAL');
    database.pragma('journal_mode = WAL');
    database.pragma('synchronous = FULL');
    // Another reader (a backup, a curious admin) may hold a lock for a moment.
    database.pragma('busy_timeout = 5000');
  } catch (error) {
    database?.close();
    const failure = storageError(error, `cannot open the database ${file}`);
    if (failure.code !== 'internal') throw failure;
    // A missing folder is not an SqliteError.
    throw new FleetError('storage_failed', `cannot open the database ${file}: ${failure.message}`, { cause: error });
  }
  try {
    // A step that rebuilds a table drops the old one, which must not delete the rows that refer to it (sqlite.org/lang_altertable.html, 7).
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

/** Foreign keys are off during a step, so they are checked after it. */
function assertReferences(database: Sqlite): void {
  const [broken] = database.pragma('foreign_key_check') as { table: string; rowid: number; parent: string }[];
  if (broken === undefined) return;
  const { table, rowid, parent } = broken;
  throw new FleetError('storage_corrupt', `row ${rowid} of ${table} refers to a missing row of ${parent}`);
}

/** Maps an SQLite error to a FleetError; a FleetError passes unchanged. */
export function storageError(error: unknown, what: string): FleetError {
  return sqliteFailure(
    error,
    what,
    'The file is damaged: restore a backup of it. Without one, move it away and start with --new-database; then every node must be let in again.',
  );
}

/** Prepares every statement of a table, under the names of `sql`. */
export function prepareAll<Name extends string>(
  database: Sqlite,
  sql: Record<Name, string>,
): Record<Name, Database.Statement> {
  const prepared = Object.entries<string>(sql).map(([name, text]) => [name, database.prepare(text)] as const);
  return Object.fromEntries(prepared) as Record<Name, Database.Statement>;
}
