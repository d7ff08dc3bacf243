/** Syncs commits made without an fsync, off the event loop, with one fsync for all concurrent callers. */
import { closeSync, fdatasync, openSync } from 'node:fs';
import { FleetError, systemErrorCode } from '../../shared/errors.ts';

export class WalSync {
  readonly #file: string;
  readonly #fdatasync: typeof fdatasync;
  #descriptor: number | undefined;
  /** True at first: a killed predecessor may have left something. */
  #unsynced = true;
  #running: Promise<void> | undefined;
  #next: Promise<void> | undefined;
  #closed = false;

  /** `databaseFile` must stay open in WAL mode in this process until {@link close}. */
  constructor(databaseFile: string, system: { fdatasync: typeof fdatasync } = { fdatasync }) {
    this.#file = `${databaseFile}-wal`;
    this.#fdatasync = system.fdatasync;
  }

  /** A transaction was committed without an fsync. A later durable one proves nothing: SQLite skips the fsync if nothing changed. */
  committedSoon(): void {
    this.#unsynced = true;
  }

  /** Resolves when everything committed before the call survives a power cut. @throws FleetError `storage_failed`. */
  sync(): Promise<void> {
    if (this.#closed) return Promise.reject(new FleetError('storage_failed', 'the database is closed'));
    if (this.#running === undefined) return this.#unsynced ? this.#start() : Promise.resolve();
    // The one in progress may have begun before the last commit.
    this.#next ??= this.#running.then(
      () => this.#begin(),
      () => this.#begin(),
    );
    return this.#next;
  }

  close(): void {
    this.#closed = true;
    if (this.#running === undefined) this.#release();
  }

  #begin(): Promise<void> {
    this.#next = undefined;
    return this.#unsynced && !this.#closed ? this.#start() : Promise.resolve();
  }

  #start(): Promise<void> {
    this.#unsynced = false;
    this.#running = this.#flush().finally(() => {
      this.#running = undefined;
      if (this.#closed) this.#release();
    });
    return this.#running;
  }

  /** SQLite holds no lock on this file (sqlite.org/wal.html, 2.2), so closing a descriptor releases none. */
  async #flush(): Promise<void> {
    try {
      const descriptor = this.#descriptor ?? openSync(this.#file, 'r+');
      this.#descriptor = descriptor;
      await new Promise<void>((resolve, reject) =>
        this.#fdatasync(descriptor, (error) => (error ? reject(error) : resolve())),
      );
    } catch (error) {
      this.#unsynced = true;
      const why = systemErrorCode(error) ?? String(error);
      throw new FleetError('storage_failed', `cannot sync ${this.#file} to the disk: ${why}`, { cause: error });
    }
  }

  #release(): void {
    if (this.#descriptor !== undefined) closeSync(this.#descriptor);
    this.#descriptor = undefined;
  }
}
