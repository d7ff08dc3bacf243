/**
 * Replaces files as a whole and durably: a crash or a full disk leaves the old content or the new. (npm's write-file-atomic takes no
 * stream, and does not sync the folder.)
 */
import {
  closeSync,
  createWriteStream,
  fsyncSync,
  linkSync,
  openSync,
  renameSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { open, rename, rm } from 'node:fs/promises';
import path from 'node:path';
import type { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { FleetError, systemErrorCode } from './errors.ts';

/** With the mode less the umask. @throws FleetError `storage_failed`; a failure of `content` itself passes unchanged. */
export async function writeAtomically(file: string, content: Readable, mode = 0o666): Promise<void> {
  const temporary = temporaryFor(file);
  let sourceFailure: Error | undefined;
  content.once('error', (error) => {
    sourceFailure = error;
  });
  try {
    await pipeline(content, createWriteStream(temporary, { flags: 'wx', flush: true, mode }));
    await rename(temporary, file);
    const folder = await open(path.dirname(file), 'r');
    await folder.sync().finally(() => folder.close());
  } catch (error) {
    await rm(temporary, { force: true });
    throw error === sourceFailure || error instanceof FleetError ? error : cannotWrite(file, error);
  }
}

/** Mode 0600. @throws FleetError `storage_failed`. */
export function writePrivateFile(file: string, text: string): void {
  write(file, text, (temporary) => renameSync(temporary, file));
}

/** {@link writePrivateFile} for a file that must not exist yet: false, with nothing changed, when another process was first. */
export function writeNewPrivateFile(file: string, text: string): boolean {
  let isNew = true;
  write(file, text, (temporary) => {
    isNew = moveUnlessThere(temporary, file);
  });
  return isNew;
}

/** Makes a rename in the folder durable (fsync(2), "Notes"). */
export function syncFolder(folder: string): void {
  const descriptor = openSync(folder, 'r');
  try {
    fsyncSync(descriptor);
  } finally {
    closeSync(descriptor);
  }
}

/** `place` gives the temporary file, complete and on disk, its name. */
function write(file: string, text: string, place: (temporary: string) => void): void {
  const temporary = temporaryFor(file);
  try {
    const descriptor = openSync(temporary, 'wx', 0o600);
    try {
      // Not writeSync, which writes only a part when the disk fills up, and says so only in its result.
      writeFileSync(descriptor, text);
      fsyncSync(descriptor);
    } finally {
      closeSync(descriptor);
    }
    place(temporary);
    syncFolder(path.dirname(file));
  } catch (error) {
    rmSync(temporary, { force: true });
    throw cannotWrite(file, error, 'Check the free space and the permissions of the folder.');
  }
}

/** link(2), unlike rename(2), never replaces a file. */
function moveUnlessThere(temporary: string, file: string): boolean {
  try {
    linkSync(temporary, file);
  } catch (error) {
    const code = systemErrorCode(error) ?? '';
    if (!['EEXIST', 'EPERM', 'ENOTSUP', 'EOPNOTSUPP', 'ENOSYS'].includes(code)) throw error;
    // Without hard links, the later of two concurrent writers wins.
    if (code !== 'EEXIST') renameSync(temporary, file);
    else rmSync(temporary);
    return code !== 'EEXIST';
  }
  rmSync(temporary);
  return true;
}

/** Unique to this process and call; node:crypto would cost the CLI 5 ms at startup. */
function temporaryFor(file: string): string {
  const unique = `${process.pid}-${process.hrtime.bigint().toString(36)}`;
  return path.join(path.dirname(file), `.${path.basename(file)}.${unique}.tmp`);
}

function cannotWrite(file: string, error: unknown, hint?: string): FleetError {
  const why = systemErrorCode(error) ?? (error instanceof Error ? error.message : String(error));
  return new FleetError('storage_failed', `cannot write ${file}: ${why}`, { cause: error, hint });
}
