/** Group commit: all writes of one tick of the event loop share one transaction, hence at most one fsync. */
import { type Sqlite, storageError } from './database.ts';

/** Longest wait of a non-durable write for company, ms: by then a short command has ended, and its durable commit includes this one. */
const GATHER_MS = 10;

interface Write {
  work: () => unknown;
  durable: boolean;
  resolve: (value: unknown) => void;
  reject: (error: Error) => void;
}

/** Takes part in every transaction. */
export interface TransactionGuest {
  /** Called before each write; returns what undoes that write's effect on the guest. */
  savepoint(): () => void;
  /** Called after all writes; throwing rolls all of them back. */
  beforeCommit(): void;
  settle(committed: boolean): void;
}

export class GroupCommit {
  readonly #database: Sqlite;
  readonly #guest: TransactionGuest | undefined;
  readonly #savepoint: (work: () => unknown) => unknown;
  readonly #onSoon: () => void;
  #writes: Write[] = [];
  #isDue = false;
  #timer: NodeJS.Timeout | undefined;
  #closed = false;

  /** `onSoon` is called for each commit that a power cut can still undo. */
  constructor(database: Sqlite, guest?: TransactionGuest, onSoon: () => void = () => {}) {
    this.#database = database;
    this.#guest = guest;
    this.#onSoon = onSoon;
    // Inside the group's transaction this is a SAVEPOINT: a failing write undoes only itself.
    this.#savepoint = database.transaction((work: () => unknown) => work());
  }

  /**
   * Runs `work` (synchronous, database only) inside the next group and resolves with its result once that is durable.
   * Groups keep the order of calls. Rejects with what `work` threw, or `storage_failed` when the commit failed.
   */
  write<T>(work: () => T): Promise<T> {
    return this.#add(work, true);
  }

  /**
   * {@link write}, but resolves when the end of this process can no longer lose it; a power cut can, until the next durable write.
   * Waits up to 10 ms for one, or for more of its kind.
   */
  writeSoon<T>(work: () => T): Promise<T> {
    return this.#add(work, false);
  }

  /** Flushes, then refuses further writes. */
  close(): void {
    this.#flush();
    this.#closed = true;
  }

  #add<T>(work: () => T, durable: boolean): Promise<T> {
    return new Promise<T>((resolve, reject) => {
      if (this.#closed) return reject(storageError(new Error('the database is closed'), 'cannot write'));
      this.#writes.push({ work, durable, resolve: resolve as (value: unknown) => void, reject });
      if (durable && !this.#isDue) {
        this.#isDue = true;
        setImmediate(() => this.#flush());
      }
      if (!this.#isDue) this.#timer ??= setTimeout(() => this.#flush(), GATHER_MS);
    });
  }

  #flush(): void {
    const group = this.#writes;
    clearTimeout(this.#timer);
    this.#timer = undefined;
    this.#isDue = false;
    if (group.length === 0 || this.#closed) return;
    this.#writes = [];
    const durable = group.some((write) => write.durable);
    const settle: (() => void)[] = [];
    try {
      // No fsync at the end. It cannot be changed within a transaction (sqlite.org/pragma.html#pragma_synchronous).
      if (!durable) this.#database.exec('PRAGMA synchronous = NORMAL');
      this.#database.exec('BEGIN IMMEDIATE');
      for (const { work, resolve, reject } of group) {
        const undo = this.#guest?.savepoint();
        try {
          const value = this.#savepoint(work);
          settle.push(() => resolve(value));
        } catch (error) {
          // A full disk rolls back the whole transaction (sqlite.org/lang_transaction.html, 3).
          if (!this.#database.inTransaction) throw error;
          undo?.();
          settle.push(() => reject(storageError(error, 'cannot write')));
        }
      }
      this.#guest?.beforeCommit();
      this.#database.exec('COMMIT');
      this.#guest?.settle(true);
    } catch (error) {
      if (this.#database.inTransaction) this.#database.exec('ROLLBACK');
      this.#guest?.settle(false);
      const failure = storageError(error, 'cannot write to the database');
      for (const { reject } of group) reject(failure);
      return;
    } finally {
      if (!durable) this.#database.exec('PRAGMA synchronous = FULL');
    }
    if (!durable) this.#onSoon();
    for (const done of settle) done();
  }
}
