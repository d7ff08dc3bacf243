/**
 * The node's journal of runs: what was accepted, what may have been started, and how it ended, so that no command starts twice.
 *
 * `accepted`, `starting` and `ended` are on disk before anything follows from them (synchronous=FULL). What lies in between matters only
 * while the command lives, which a power failure ends; so it need only survive the end of this process.
 */
import { closeSync, openSync } from 'node:fs';
import Database from 'better-sqlite3';
import { type RunOutcome, type RunSpec, runSpecSchema } from '../../protocol/run-spec.ts';
import { FleetError } from '../../shared/errors.ts';
import { sqliteFailure } from '../../shared/sqlite.ts';
import type { CommandExit, OutputCounters, StartedCommand } from '../shim/messages.ts';
import { type JournalRow, parseRow, type RunPlace, type SqlRow, type SqlValue } from './journal-row.ts';
import type { KillCause } from './outcome.ts';

const SCHEMA_VERSION = 1;
const SCHEMA = `
  CREATE TABLE run (
    run TEXT PRIMARY KEY,
    phase TEXT NOT NULL CHECK (phase IN ('accepted', 'starting', 'started', 'ended')),
    spec_digest TEXT NOT NULL,
    place TEXT,
    pid INTEGER,
    identity TEXT,
    started_at INTEGER,
    cause TEXT,
    exit TEXT,
    stdin_open INTEGER NOT NULL,
    counters TEXT,
    outcome TEXT,
    log_bytes INTEGER NOT NULL DEFAULT 0,
    has_log INTEGER NOT NULL DEFAULT 1,
    acknowledged_at INTEGER
  ) STRICT, WITHOUT ROWID;
  -- Apart from the run, so that a long command is not rewritten on each change of state; deleted when the run ends, because it may hold
  -- secrets, and the digest is enough to recognize a repetition.
  CREATE TABLE spec (run TEXT PRIMARY KEY, json TEXT NOT NULL) STRICT, WITHOUT ROWID;
  -- A new journal has a new id: so the gateway learns that an earlier one, and its knowledge of runs, is lost.
  CREATE TABLE journal (id TEXT NOT NULL) STRICT;
  INSERT INTO journal VALUES (lower(hex(randomblob(12))));
  CREATE INDEX run_unacknowledged ON run (run) WHERE acknowledged_at IS NULL;
  CREATE INDEX run_evictable ON run (acknowledged_at) WHERE acknowledged_at IS NOT NULL;
  PRAGMA user_version = ${SCHEMA_VERSION};
`;

export class Journal {
  readonly #path: string;
  /** Also for files beside the journal. */
  readonly makeRoom: () => void;
  #open: Database.Database | undefined;
  readonly #statements = new Map<string, Database.Statement>();

  /** `makeRoom` is called when the disk is full; the write is then retried once. */
  constructor(path: string, makeRoom: () => void = () => {}) {
    this.#path = path;
    this.makeRoom = makeRoom;
  }

  /**
   * A broken journal is never replaced by an empty one: the gateway would hand over runs again, and they would run twice.
   * @throws FleetError `already_running` if another process has it open; `storage_failed`; `storage_corrupt`; `config_invalid` if it is newer.
   */
  open(): void {
    let database: Database.Database | undefined;
    try {
      // SQLite copies the mode of this file to its other files.
      closeSync(openSync(this.#path, 'a', 0o600));
      database = new Database(this.#path, { timeout: 1000 });
      database.pragma('locking_mode = EXCLUSIVE');
      database.pragma('journal_mode = WAL');
      // Overwrites deleted specs, which may hold secrets.
      database.pragma('secure_delete = ON');
      database.pragma('synchronous = FULL');
      const version = Number(database.pragma('user_version', { simple: true }));
      if (version > SCHEMA_VERSION)
        throw new FleetError('config_invalid', `the journal ${this.#path} was written by a newer fleet`, {
          hint: 'Install the newer fleet again.',
        });
      dropFormerIndex(database);
      if (version === 0) database.transaction((open: Database.Database) => open.exec(SCHEMA)).exclusive(database);
      this.#open = database;
    } catch (error) {
      database?.close();
      if (isBusy(error))
        throw new FleetError('already_running', `another process uses ${this.#path}`, { cause: error });
      const what = `cannot open the journal ${this.#path}`;
      const failure = sqliteFailure(
        error,
        what,
        'End the commands of the node, move the file away and restart; runs that are handed over again may then run twice.',
      );
      if (failure.code !== 'internal') throw failure;
      throw new FleetError('storage_failed', `${what}: ${failure.message}`, { cause: error });
    }
  }

  close(): void {
    this.#open?.close();
    this.#open = undefined;
    this.#statements.clear();
  }

  /** Random, created with the file. */
  get id(): string {
    return this.#guard((database) => String((this.#prepare(database, 'SELECT id FROM journal').get() as SqlRow).id));
  }

  find(run: string): JournalRow | undefined {
    return this.#select('SELECT * FROM run WHERE run = ?', run)[0];
  }

  unfinished(): { row: JournalRow; spec: RunSpec }[] {
    // The first condition is implied, and indexed.
    const sql = "SELECT * FROM run JOIN spec USING (run) WHERE acknowledged_at IS NULL AND phase <> 'ended'";
    return this.#guard((database) =>
      (this.#prepare(database, sql).all() as SqlRow[]).map((row) => ({
        row: parseRow(row),
        spec: runSpecSchema.parse(JSON.parse(String(row.json))),
      })),
    );
  }

  /** Whether ended or not. */
  unacknowledged(): JournalRow[] {
    return this.#select('SELECT * FROM run WHERE acknowledged_at IS NULL');
  }

  /** The run with a log that was acknowledged first. */
  oldestEvictable(): JournalRow | undefined {
    return this.#select(
      'SELECT * FROM run WHERE acknowledged_at IS NOT NULL AND has_log = 1 ORDER BY acknowledged_at LIMIT 1',
    )[0];
  }

  /** Size of the logs of all ended runs, bytes. */
  endedLogBytes(): number {
    const sql = "SELECT total(log_bytes) AS bytes FROM run WHERE phase = 'ended' AND has_log = 1";
    return this.#guard((database) => Number((this.#prepare(database, sql).get() as SqlRow).bytes));
  }

  /**
   * Durable when it returns, like `starting` and `ended`. With a place the run is `starting` at once, which saves an fsync.
   * @throws FleetError `storage_failed`, like all writes.
   */
  accept(spec: RunSpec, specDigest: string, place?: RunPlace): void {
    const { run, stdin } = spec;
    this.#write(
      ['INSERT INTO spec (run, json) VALUES (?, ?)', run, JSON.stringify(spec)],
      [
        'INSERT INTO run (run, phase, spec_digest, stdin_open, place) VALUES (?, ?, ?, ?, ?)',
        run,
        place === undefined ? 'accepted' : 'starting',
        specDigest,
        stdin ? 1 : 0,
        place === undefined ? null : JSON.stringify(place),
      ],
    );
  }

  starting(run: string, place: RunPlace): void {
    const sql = "UPDATE run SET phase = 'starting', place = ? WHERE run = ? AND phase IN ('accepted', 'starting')";
    this.#write([sql, JSON.stringify(place), run]);
  }

  /** A run that was `starting` was certainly not started. */
  notStarting(run: string): void {
    const sql = "UPDATE run SET phase = 'accepted', place = NULL WHERE run = ? AND phase = 'starting'";
    this.#writeSoon(sql, [run]);
  }

  started(run: string, { pid, identity, cgroup, startedAt }: StartedCommand & { startedAt: number }): void {
    const place = cgroup === undefined ? 'place' : "json_set(place, '$.cgroup', ?)";
    this.#writeSoon(
      `UPDATE run SET phase = 'started', pid = ?, identity = ?, started_at = ?, place = ${place} WHERE run = ? AND phase IN ('starting', 'started')`,
      [pid, identity ?? null, Math.round(startedAt), ...(cgroup === undefined ? [] : [cgroup]), run],
    );
  }

  setCause(run: string, cause: KillCause): void {
    this.#writeSoon("UPDATE run SET cause = ? WHERE run = ? AND phase <> 'ended'", [cause, run]);
  }

  setExit(run: string, exit: CommandExit): void {
    this.#writeSoon('UPDATE run SET exit = ? WHERE run = ?', [JSON.stringify(exit), run]);
  }

  setStdinComplete(run: string): void {
    this.#writeSoon('UPDATE run SET stdin_open = 0 WHERE run = ?', [run]);
  }

  setCounters(run: string, counters: OutputCounters): void {
    this.#writeSoon("UPDATE run SET counters = ? WHERE run = ? AND phase <> 'ended'", [JSON.stringify(counters), run]);
  }

  ended(run: string, outcome: RunOutcome, logBytes: number): void {
    const sql = "UPDATE run SET phase = 'ended', outcome = ?, log_bytes = ? WHERE run = ? AND phase <> 'ended'";
    this.#write([sql, JSON.stringify(outcome), logBytes, run], ['DELETE FROM spec WHERE run = ?', run]);
  }

  setLogBytes(run: string, logBytes: number): void {
    this.#writeSoon('UPDATE run SET log_bytes = ? WHERE run = ?', [logBytes, run]);
  }

  acknowledge(run: string, atMs: number): void {
    this.#writeSoon('UPDATE run SET acknowledged_at = ? WHERE run = ? AND acknowledged_at IS NULL', [
      Math.round(atMs),
      run,
    ]);
  }

  logRemoved(run: string): void {
    this.#writeSoon('UPDATE run SET has_log = 0 WHERE run = ?', [run]);
  }

  /** Forgets runs acknowledged before `beforeMs` whose logs are gone. */
  prune(beforeMs: number): void {
    this.#writeSoon('DELETE FROM run WHERE acknowledged_at < ? AND has_log = 0', [Math.round(beforeMs)]);
  }

  /** Runs acknowledged before `beforeMs` that still have a log. */
  withLogAcknowledgedBefore(beforeMs: number): JournalRow[] {
    return this.#select('SELECT * FROM run WHERE acknowledged_at < ? AND has_log = 1', Math.round(beforeMs));
  }

  #select(sql: string, ...parameters: SqlValue[]): JournalRow[] {
    return this.#guard((database) => (this.#prepare(database, sql).all(...parameters) as SqlRow[]).map(parseRow));
  }

  /** All of the statements or none. */
  #write(...statements: [sql: string, ...parameters: SqlValue[]][]): void {
    this.#guardWrite((database) =>
      database.transaction(() => {
        for (const [sql, ...parameters] of statements) this.#prepare(database, sql).run(...parameters);
      })(),
    );
  }

  /** Survives the end of this process, but a power failure only after the next `#write`. */
  #writeSoon(sql: string, parameters: SqlValue[]): void {
    this.#guardWrite((database) => {
      database.pragma('synchronous = NORMAL');
      try {
        this.#prepare(database, sql).run(...parameters);
      } finally {
        database.pragma('synchronous = FULL');
      }
    });
  }

  #prepare(database: Database.Database, sql: string): Database.Statement {
    const statement = this.#statements.get(sql) ?? database.prepare(sql);
    this.#statements.set(sql, statement);
    return statement;
  }

  #guardWrite(action: (database: Database.Database) => void): void {
    this.#guard((database) => {
      try {
        action(database);
      } catch (error) {
        if (!isRefusedByDisk(error)) throw error;
        this.makeRoom();
        action(database);
      }
    });
  }

  #guard<T>(action: (database: Database.Database) => T): T {
    if (this.#open === undefined) throw new FleetError('not_running', 'the journal is closed');
    try {
      return action(this.#open);
    } catch (error) {
      const failure = sqliteFailure(error, `the journal ${this.#path} failed`);
      if (failure.code !== 'internal' || error instanceof Database.SqliteError) throw failure;
      // A row that cannot be read.
      throw new FleetError('storage_corrupt', `the journal ${this.#path} is damaged: ${failure.message}`, {
        cause: error,
      });
    }
  }
}

/** An index of former versions, written on each step of a run for one query at the start. */
function dropFormerIndex(database: Database.Database): void {
  try {
    database.exec('DROP INDEX IF EXISTS run_open');
  } catch (error) {
    // On a full disk it stays, and costs time only.
    if (!isRefusedByDisk(error)) throw error;
  }
}

function isRefusedByDisk(error: unknown): boolean {
  return error instanceof Database.SqliteError && /^SQLITE_(FULL|IOERR)/.test(error.code);
}

function isBusy(error: unknown): boolean {
  return error instanceof Database.SqliteError && error.code.startsWith('SQLITE_BUSY');
}
