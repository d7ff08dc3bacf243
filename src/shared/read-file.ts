/** Reads files and folders that may be missing. */
import { readdirSync, readFileSync } from 'node:fs';
import { FleetError, systemErrorCode } from './errors.ts';

/** Empty when the file cannot be read, such as one in /proc that has vanished. */
export function readOrEmpty(file: string): string {
  try {
    return readFileSync(file, 'utf8');
  } catch {
    return '';
  }
}

/** Empty when the folder cannot be read. */
export function listOrEmpty(folder: string): string[] {
  try {
    return readdirSync(folder);
  } catch {
    return [];
  }
}

/** Undefined when there is no such file. @throws FleetError `storage_failed`. */
export function readIfExists(file: string): string | undefined {
  try {
    return readFileSync(file, 'utf8');
  } catch (error) {
    if (systemErrorCode(error) === 'ENOENT') return undefined;
    throw new FleetError('storage_failed', `cannot read ${file}: ${systemErrorCode(error) ?? error}`, { cause: error });
  }
}
