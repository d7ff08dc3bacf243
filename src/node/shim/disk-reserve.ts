/**
 * Room on the disk that is never used for output, so that ends and acknowledgements can still be recorded when it is full: without them
 * nothing would ever be freed. Output stops at the floor; below it, when others have filled the disk, the reserve is given up.
 */

import { randomBytes } from 'node:crypto';
import { rmSync, statfsSync, writeFileSync } from 'node:fs';

/** Kept free by everything that stores output, bytes; of a small disk a share of it. */
const MOST_FLOOR_BYTES = 16 * 1024 * 1024;
/** Held by a file, bytes: some hundreds of writes to the journal. Of a small disk a share of it. */
const MOST_RESERVE_BYTES = 1024 * 1024;
const SHARE = 1 / 16;

/** Whether so many bytes more, in `folder`, would leave less than the floor. */
export function isLow(folder: string, bytes = 0): boolean {
  const { free, total } = room(folder);
  return free - bytes < Math.min(MOST_FLOOR_BYTES, total * SHARE);
}

/** @throws Error in the words of the system's ENOSPC, before the disk is really full. */
export function requireDisk(folder: string, bytes: number): void {
  if (isLow(folder, bytes))
    throw new Error('ENOSPC: the disk is full but for what is kept free for the records of runs');
}

export class DiskReserve {
  readonly #folder: string;
  readonly #path: string;
  #isThere = false;

  constructor(folder: string, path: string) {
    this.#folder = folder;
    this.#path = path;
  }

  /** Makes it if there is room above the floor. False if there is none. */
  restore(): boolean {
    const bytes = Math.ceil(Math.min(MOST_RESERVE_BYTES, room(this.#folder).total * SHARE));
    if (this.#isThere || isLow(this.#folder, bytes)) return this.#isThere;
    try {
      // Random, since some file systems do not store zeros.
      writeFileSync(this.#path, randomBytes(bytes), { mode: 0o600 });
      this.#isThere = true;
    } catch {
      this.release();
    }
    return this.#isThere;
  }

  /** Gives its room to a write that failed for want of it. */
  release(): void {
    this.#isThere = false;
    rmSync(this.#path, { force: true });
  }
}

function room(folder: string): { free: number; total: number } {
  const { bsize, blocks, bfree, bavail } = statfsSync(folder);
  // Some network file systems tell nothing.
  if (blocks === 0) return { free: Number.POSITIVE_INFINITY, total: Number.POSITIVE_INFINITY };
  return { free: bsize * (process.geteuid?.() === 0 ? bfree : bavail), total: bsize * blocks };
}
