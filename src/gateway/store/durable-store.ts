/** What the rest of the gateway sees of the database; each subject extends it by its own tables. */

/** See `Store` for what each method guarantees. */
export interface DurableStore {
  write<T>(work: () => T): Promise<T>;
  writeSoon<T>(work: () => T): Promise<T>;
  perform<T>(deed: () => { value: T; undo(): void }, alsoStore?: (value: T) => void): Promise<T>;
  sync(): Promise<void>;
}

/** Decides what is old enough to delete. */
export interface Ages {
  /** Everything older than this time, ms, has been kept for `keptMs` by any clock. */
  cutoff(keptMs: number): number;
}
