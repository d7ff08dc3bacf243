/** A small real disk that only one process and its children see: a loop-mounted file in a mount namespace of their own. */
import { execFile } from 'node:child_process';
import { mkdir } from 'node:fs/promises';
import path from 'node:path';
import { promisify } from 'node:util';

const run = promisify(execFile);
const SIZE = '64M';

export interface OwnDisk {
  /** What to start a process through that shall see the disk. */
  through: readonly string[];
  /** A folder on the disk. */
  folder: string;
}

/** Null where this user may not mount. The disk is gone when the last process that sees it is. */
export async function makeOwnDisk(parent: string): Promise<OwnDisk | null> {
  const image = path.join(parent, 'disk.img');
  const folder = path.join(parent, 'disk');
  await mkdir(folder);
  const script = 'mount -o loop "$1" "$2" && shift 2 && exec "$@"';
  const through = ['unshare', '--mount', 'sh', '-c', script, 'own-disk', image, folder];
  try {
    await run('truncate', ['-s', SIZE, image]);
    // Without blocks that are kept for root, so that full is full.
    await run('mkfs.ext4', ['-q', '-F', '-m', '0', image]);
    await run(through[0] ?? '', [...through.slice(1), 'true']);
    return { through, folder };
  } catch {
    return null;
  }
}
