/** Reads Linux's /sys, where a class that the machine lacks and an attribute that a driver refuses are everyday answers. */
import { readdir, readFile } from 'node:fs/promises';
import path from 'node:path';
import { systemErrorCode } from '../../shared/errors.ts';

/** No such file; or a driver that has no value now (sleeping sensor, unplugged battery). */
const NO_VALUE: ReadonlySet<string> = new Set(['ENOENT', 'ENODEV', 'ENODATA', 'ENXIO', 'EIO', 'EINVAL', 'EAGAIN']);

/** Names in a folder, sorted; none when the folder does not exist. */
export async function listFolder(folder: string): Promise<string[]> {
  try {
    return (await readdir(folder)).sort();
  } catch (error) {
    if (systemErrorCode(error) === 'ENOENT') return [];
    throw error;
  }
}

/** One attribute without its line end; null when there is none or it has no value now. */
export async function readAttribute(...segments: string[]): Promise<string | null> {
  try {
    return (await readFile(path.join(...segments), 'utf8')).trim();
  } catch (error) {
    if (NO_VALUE.has(systemErrorCode(error) ?? '')) return null;
    throw error;
  }
}
