/**
 * The node's journal of runs: what was accepted, what may have been spawned, and how it ended, so that no command starts twice.
 *
 * `accepted`, `starting` and `ended` are on the disk before anything follows from them (synchronous=FULL). What lies between is
 * only of use while the command lives, which it does not after a power cut; so it need only survive the end of this process.
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
  -- Apart from the run, so that a long command is not written again with each change of state; and only until the run has ended: it may
  -- hold secrets, and the digest is enough to tell a repetition from a contradiction.
  CREATE TABLE spec (run TEXT PRIMARY KEY, json TEXT NOT NULL) STRICT, WITHOUT ROWID;
  -- A journal that was lost is replaced by one with another id: then the gateway knows that nobody can say any more what was run.
  CREATE TABLE journal (id TEXT NOT NULL) STRICT;
  INSERT INTO journal VALUES (lower(hex(randomblob(12))));
  CREATE INDEX run_unacknowledged ON run (run) WHERE acknowledged_at IS NULL;
  CREATE INDEX run_evictable ON run (acknowledged_at) WHERE acknowledged_at IS NOT NULL;
  PRAGMA user_version = ${SCHEMA_VERSION};
`;

export class Journal {
  readonly #path: string;
  readonly #makeRoom: () => void;
  #open: Database.Database | undefined;
  readonly #statements = new Map<string, Database.Statement>();

  /** `makeRoom` is called when the disk refuses a write, which is then tried once more. */
  constructor(path: string, makeRoom: () => void = () => {}) {
    this.#path = path;
    this.#makeRoom = makeRoom;
  }

  /** For what is written beside the journal, too. */
  makeRoom(): void {
    this.#makeRoom();
  }

  /**
   * @throws FleetError `already_running` if another process has it open; `storage_failed` if it cannot be read, `storage_corrupt` if it is damaged. A broken journal is
   * never replaced by an empty one: the gateway would hand runs over again, and they would run again.
   */
  open(): void {
    let database: Database.Database | undefined;
    try {
      // SQLite gives its other files the mode that this one has.
      closeSync(openSync(this.#path, 'a', 0o600));
      database = new Database(this.#path, { timeout: 1000 });
      database.pragma('locking_mode = EXCLUSIVE');
      database.pragma('journal_mode = WAL');
      // A spec may hold secrets; when it goes, so shall its bytes.
      database.pragma('secure_delete = ON');
      database.pragma('synchronous = FULL');
      const version = Number(database.pragma('user_version', { simple: true }));
      if (version > SCHEMA_VERSION)
        throw new FleetError('config_invalid', `the journal ${this.#path} was written by a newer fleet`, {
          hint: 'Install that newer fleet again.',
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
        'End the commands of the node, move the file away, and start again; runs handed over twice may then run twice.',
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

  /** Made with the file, random: another id means that an earlier journal was lost. */
  get id(): string {
    return this.#guard((database) => String((this.#prepare(database, 'SELECT id FROM journal').get() as SqlRow).id));
  }

  find(run: string): JournalRow | undefined {
    return this.#select('SELECT * FROM run WHERE run = ?', run)[0];
  }

  /** Runs that have not ended, and what they shall do. */
  unfinished(): { row: JournalRow; spec: RunSpec }[] {
    // What has not ended is not acknowledged, and of that there is an index.
    const sql = "SELECT * FROM run JOIN spec USING (run) WHERE acknowledged_at IS NULL AND phase <> 'ended'";
    return this.#guard((database) =>
      (this.#prepare(database, sql).all() as SqlRow[]).map((row) => ({
        row: parseRow(row),
        spec: runSpecSchema.parse(JSON.parse(String(row.json))),
      })),
    );
  }

  /** Ended or not. */
  unacknowledged(): JournalRow[] {
    return this.#select('SELECT * FROM run WHERE acknowledged_at IS NULL');
  }

  /** The ended run with a log that was acknowledged first. */
  oldestEvictable(): JournalRow | undefined {
    return this.#select(
      'SELECT * FROM run WHERE acknowledged_at IS NOT NULL AND has_log = 1 ORDER BY acknowledged_at LIMIT 1',
    )[0];
  }

  /** Bytes of the logs of all ended runs. */
  endedLogBytes(): number {
    const sql = "SELECT total(log_bytes) AS bytes FROM run WHERE phase = 'ended' AND has_log = 1";
    return this.#guard((database) => Number((this.#prepare(database, sql).get() as SqlRow).bytes));
  }

  /**
   * Durable when it returns, as are `starting` and `ended`; with a place it is `starting` at once, which saves a write to the disk.
   * @throws FleetError `storage_failed`, as all that write.
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

  /** What was `starting` was surely not started. */
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

  /** All of the statements, each with its parameters, or none. */
  #write(...statements: [sql: string, ...parameters: SqlValue[]][]): void {
    this.#guardWrite((database) =>
      database.transaction(() => {
        for (const [sql, ...parameters] of statements) this.#prepare(database, sql).run(...parameters);
      })(),
    );
  }

  /** Survives the end of this process at once, a power cut only with the next `#write`. */
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
    let statement = this.#statements.get(sql);
    if (statement === undefined) {
      statement = database.prepare(sql);
      this.#statements.set(sql, statement);
    }
    return statement;
  }

  #guardWrite(action: (database: Database.Database) => void): void {
    this.#guard((database) => {
      try {
        action(database);
      } catch (error) {
        if (!isRefusedByDisk(error)) throw error;
        this.#makeRoom();
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

/** Each step of a run was written there, too, for a question that is asked once, at the start. */
function dropFormerIndex(database: Database.Database): void {
  try {
    database.exec('DROP INDEX IF EXISTS run_open');
  } catch (error) {
    // It costs time only. A full disk must not keep the node from following its runs, and from telling what is wrong.
    if (!isRefusedByDisk(error)) throw error;
  }
}

function isRefusedByDisk(error: unknown): boolean {
  return error instanceof Database.SqliteError && /^SQLITE_(FULL|IOERR)/.test(error.code);
}

function isBusy(error: unknown): boolean {
  return error instanceof Database.SqliteError && error.code.startsWith('SQLITE_BUSY');
}
