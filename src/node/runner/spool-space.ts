/** Keeps the logs of all runs within their share of the disk: logs that the gateway has stored are removed for new ones. */
import { unlinkSync } from 'node:fs';
import { join } from 'node:path';
import { FleetError, systemErrorCode } from '../../shared/errors.ts';
import { DiskReserve, isLow } from '../shim/disk-reserve.ts';
import type { Journal } from './journal.ts';
import type { JournalRow } from './journal-row.ts';

interface SpoolSpaceOptions {
  folder: string;
  journal: Journal;
  logPath(run: string): string;
  /** Limit for all logs together, bytes. */
  maxBytes: number;
  /** Size of the logs of runs that have not ended, bytes. */
  liveBytes(): number;
}

export class SpoolSpace {
  readonly #options: SpoolSpaceOptions;
  readonly #reserve: DiskReserve;
  #endedBytes = 0;

  constructor(options: SpoolSpaceOptions) {
    this.#options = options;
    this.#reserve = new DiskReserve(options.folder, join(options.folder, 'reserve'));
  }

  /** Call once the journal is open. */
  start(): void {
    this.#endedBytes = this.#options.journal.endedLogBytes();
    this.evict();
  }

  /** Frees space for a record that the full disk has refused. */
  giveUpReserve(): void {
    this.#reserve.release();
  }

  /** A run has ended with a log of this length. */
  add(logBytes: number): void {
    this.#endedBytes += logBytes;
  }

  /** The gateway has stored the run. On a full disk its log is removed first, since the note itself needs space. */
  acknowledge(row: JournalRow, atMs: number): void {
    const { journal, folder } = this.#options;
    const isUrgent = row.hasLog && isLow(folder);
    if (isUrgent) this.#unlink(row.run);
    journal.acknowledge(row.run, atMs);
    if (isUrgent) this.remove(row.run, row.logBytes);
    this.evict();
  }

  /** Removes acknowledged logs, oldest first, until the rest fits. */
  evict(): void {
    while (this.#isOver() || isLow(this.#options.folder)) {
      const row = this.#options.journal.oldestEvictable();
      if (row === undefined) break;
      this.remove(row.run, row.logBytes);
    }
    this.#reserve.restore();
  }

  /** @throws FleetError `storage_failed` if unacknowledged logs fill the spool, or the disk is full. */
  requireRoom(): void {
    this.evict();
    const { folder } = this.#options;
    if (isLow(folder) || !this.#reserve.restore()) {
      throw new FleetError('storage_failed', `the disk that holds ${folder} is full`, {
        hint: 'Free some space; the node then continues by itself.',
      });
    }
    if (!this.#isOver()) return;
    throw new FleetError('storage_failed', `the spool holds more than ${this.#options.maxBytes} bytes`, {
      hint: 'Wait until the gateway has fetched it, or raise the limit of the spool.',
    });
  }

  /** Removes one log. */
  remove(run: string, logBytes: number): void {
    this.#unlink(run);
    this.#options.journal.logRemoved(run);
    this.#endedBytes -= logBytes;
  }

  #unlink(run: string): void {
    try {
      unlinkSync(this.#options.logPath(run));
    } catch (error) {
      if (systemErrorCode(error) !== 'ENOENT') {
        throw new FleetError('storage_failed', `cannot remove the log of ${run}`, { cause: error });
      }
    }
  }

  #isOver(): boolean {
    return this.#endedBytes + this.#options.liveBytes() > this.#options.maxBytes;
  }
}
