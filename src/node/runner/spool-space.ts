/** Keeps the logs of all runs within their share of the disk: those that the gateway has stored make room for new ones. */
import { unlinkSync } from 'node:fs';
import { FleetError, systemErrorCode } from '../../shared/errors.ts';
import type { Journal } from './journal.ts';

export interface SpoolSpaceOptions {
  journal: Journal;
  logPath(run: string): string;
  /** Of all logs together, bytes. */
  maxBytes: number;
  /** Logs of runs that have not ended, bytes. */
  liveBytes(): number;
}

export class SpoolSpace {
  readonly #options: SpoolSpaceOptions;
  #endedBytes = 0;

  constructor(options: SpoolSpaceOptions) {
    this.#options = options;
  }

  /** Reads from the journal how much there is. */
  start(): void {
    this.#endedBytes = this.#options.journal.endedLogBytes();
  }

  /** A run has ended, and this is the length of its log. */
  add(logBytes: number): void {
    this.#endedBytes += logBytes;
  }

  /** Removes acknowledged logs, the oldest first, until the rest fits. */
  evict(): void {
    while (this.#isOver()) {
      const row = this.#options.journal.oldestEvictable();
      if (row === undefined) return;
      this.remove(row.run, row.logBytes);
    }
  }

  /** @throws FleetError `storage_failed` when what the gateway has not stored yet takes all the room. */
  requireRoom(): void {
    this.evict();
    if (!this.#isOver()) return;
    throw new FleetError('storage_failed', `the spool holds more than ${this.#options.maxBytes} bytes`, {
      hint: 'Let the gateway fetch what the node keeps for it, or allow the spool more room.',
    });
  }

  /** Removes one log. */
  remove(run: string, logBytes: number): void {
    try {
      unlinkSync(this.#options.logPath(run));
    } catch (error) {
      if (systemErrorCode(error) !== 'ENOENT') {
        throw new FleetError('storage_failed', `cannot remove the log of ${run}`, { cause: error });
      }
    }
    this.#options.journal.logRemoved(run);
    this.#endedBytes -= logBytes;
  }

  #isOver(): boolean {
    return this.#endedBytes + this.#options.liveBytes() > this.#options.maxBytes;
  }
}
