/** Keeps the logs of all runs within their share of the disk: those that the gateway has stored make room for new ones. */
import { unlinkSync } from 'node:fs';
import { join } from 'node:path';
import { FleetError, systemErrorCode } from '../../shared/errors.ts';
import { DiskReserve, isLow } from '../shim/disk-reserve.ts';
import type { Journal } from './journal.ts';
import type { JournalRow } from './journal-row.ts';

interface SpoolSpaceOptions {
  /** Of the spool. */
  folder: string;
  journal: Journal;
  logPath(run: string): string;
  /** Of all logs together, bytes. */
  maxBytes: number;
  /** Logs of runs that have not ended, bytes. */
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

  /** Reads from the journal how much there is. */
  start(): void {
    this.#endedBytes = this.#options.journal.endedLogBytes();
    this.evict();
  }

  /** For a record that the disk has refused. */
  giveUpReserve(): void {
    this.#reserve.release();
  }

  /** A run has ended, and this is the length of its log. */
  add(logBytes: number): void {
    this.#endedBytes += logBytes;
  }

  /** The gateway has stored the run. On a full disk the log goes before that is noted, which needs room itself. */
  acknowledge(row: JournalRow, atMs: number): void {
    const { journal, folder } = this.#options;
    const atOnce = row.hasLog && isLow(folder);
    if (atOnce) this.#unlink(row.run);
    journal.acknowledge(row.run, atMs);
    if (atOnce) this.remove(row.run, row.logBytes);
    this.evict();
  }

  /** Removes acknowledged logs, the oldest first, until the rest fits. */
  evict(): void {
    while (this.#isOver() || isLow(this.#options.folder)) {
      const row = this.#options.journal.oldestEvictable();
      if (row === undefined) break;
      this.remove(row.run, row.logBytes);
    }
    this.#reserve.restore();
  }

  /** @throws FleetError `storage_failed` when what the gateway has not stored yet takes all the room, or others have filled the disk. */
  requireRoom(): void {
    this.evict();
    const { folder } = this.#options;
    if (isLow(folder) || !this.#reserve.restore()) {
      throw new FleetError('storage_failed', `the disk that holds ${folder} is full`, {
        hint: 'Make room on it; the node goes on by itself then.',
      });
    }
    if (!this.#isOver()) return;
    throw new FleetError('storage_failed', `the spool holds more than ${this.#options.maxBytes} bytes`, {
      hint: 'Let the gateway fetch what the node keeps for it, or allow the spool more room.',
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
