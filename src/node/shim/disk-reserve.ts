/**
 * Disk space that output never uses, so that ends and acknowledgements can be recorded on a full disk: otherwise nothing would ever be
 * freed. Output stops at the floor; when other programs fill the disk below it, the reserve is released.
 */
import { randomBytes } from 'node:crypto';
import { rmSync, statfsSync, writeFileSync } from 'node:fs';

/** Kept free by everything that stores output, bytes. */
const MAX_FLOOR_BYTES = 16 * 1024 * 1024;
/** Size of the reserve, some hundreds of writes to the journal, bytes. */
const MAX_RESERVE_BYTES = 1024 * 1024;
/** Of a small disk, both are at most this share. */
const SHARE = 1 / 16;

/** Whether `bytes` more in `folder` would leave less than the floor. */
export function isLow(folder: string, bytes = 0): boolean {
  const { free, total } = spaceOf(folder);
  return free - bytes < Math.min(MAX_FLOOR_BYTES, total * SHARE);
}

/** @throws Error worded like the system's ENOSPC, before the disk is really full. */
export function requireDisk(folder: string, bytes: number): void {
  if (isLow(folder, bytes)) throw new Error('ENOSPC: the disk is full except for space reserved to record runs');
}

/** A file that gives its space to writes that would fail otherwise. */
export class DiskReserve {
  readonly #folder: string;
  readonly #path: string;
  #exists = false;

  constructor(folder: string, path: string) {
    this.#folder = folder;
    this.#path = path;
  }

  /** Creates it if there is space above the floor. Returns whether it exists. */
  restore(): boolean {
    const bytes = Math.ceil(Math.min(MAX_RESERVE_BYTES, spaceOf(this.#folder).total * SHARE));
    if (this.#exists || isLow(this.#folder, bytes)) return this.#exists;
    try {
      // Random, since some file systems don't store zeros.
      writeFileSync(this.#path, randomBytes(bytes), { mode: 0o600 });
      this.#exists = true;
    } catch {
      this.release();
    }
    return this.#exists;
  }

  release(): void {
    this.#exists = false;
    rmSync(this.#path, { force: true });
  }
}

function spaceOf(folder: string): { free: number; total: number } {
  const { bsize, blocks, bfree, bavail } = statfsSync(folder);
  // Some network file systems report nothing.
  if (blocks === 0) return { free: Number.POSITIVE_INFINITY, total: Number.POSITIVE_INFINITY };
  return { free: bsize * (process.geteuid?.() === 0 ? bfree : bavail), total: bsize * blocks };
}
