/** Random bytes for many small ids: asked of the system a page at a time, for a call costs more than the bytes. */
import { randomFillSync } from 'node:crypto';

const pool = Buffer.allocUnsafeSlow(4096);
let used = pool.length;

/** `size` bytes from the system's generator, at most 4096; each is given out once. Not for secrets: those of the pool lie in memory. */
export function pooledRandomBytes(size: number): Uint8Array {
  if (used + size > pool.length) {
    randomFillSync(pool);
    used = 0;
  }
  used += size;
  return Uint8Array.prototype.slice.call(pool, used - size, used);
}
