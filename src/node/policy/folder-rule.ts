/** In which folders the gateway may have commands run: decided about where a path leads, not about how it is written. */
import { realpath } from 'node:fs/promises';
import path from 'node:path';
import { systemErrorCode } from '../../shared/errors.ts';

/**
 * Why `folder`, an absolute path, is not one of `allowed` or below one; undefined if it is. Symbolic links and `..` are followed
 * first, on both sides; an allowed folder that does not exist allows nothing.
 */
export async function folderFault(folder: string, allowed: readonly string[]): Promise<string | undefined> {
  let real: string;
  try {
    real = await realpath(folder);
  } catch (error) {
    return `the folder cannot be looked at (${systemErrorCode(error) ?? 'unknown'})`;
  }
  for (const root of allowed) if (isWithin(real, await realOrNothing(root))) return undefined;
  return 'the folder is not one of those that are allowed';
}

function isWithin(folder: string, root: string | undefined): boolean {
  if (root === undefined) return false;
  const way = path.relative(root, folder);
  return way === '' || (way !== '..' && !way.startsWith(`..${path.sep}`) && !path.isAbsolute(way));
}

async function realOrNothing(folder: string): Promise<string | undefined> {
  try {
    return await realpath(folder);
  } catch {
    // It is not there now; it may be later.
    return undefined;
  }
}
