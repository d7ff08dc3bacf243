/** Replaces a file as a whole with what a stream brings: whoever reads it sees the old content or the new. */
import { createWriteStream } from 'node:fs';
import { open, rename, rm } from 'node:fs/promises';
import path from 'node:path';
import type { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { FleetError, systemErrorCode } from './errors.ts';
import { connectionError } from './http/request.ts';

/** The file gets the mode less the umask. @throws FleetError `storage_failed`; `connection_lost` when the stream broke. */
export async function writeAtomically(file: string, content: Readable, mode = 0o666): Promise<void> {
  // Nobody else's, nor another one's of this process; node:crypto would cost 5 ms of start.
  const unique = `${process.pid}-${process.hrtime.bigint().toString(36)}`;
  const temporary = path.join(path.dirname(file), `.${path.basename(file)}.${unique}.tmp`);
  let sourceFailure: Error | undefined;
  content.once('error', (error) => {
    sourceFailure = error;
  });
  try {
    await pipeline(content, createWriteStream(temporary, { flags: 'wx', flush: true, mode }));
    await rename(temporary, file);
    await syncFolder(path.dirname(file));
  } catch (error) {
    await rm(temporary, { force: true });
    if (error instanceof FleetError) throw error;
    if (sourceFailure !== undefined && sourceFailure === error) throw connectionError(error);
    const why = error instanceof Error ? error.message : String(error);
    throw new FleetError('storage_failed', `cannot write ${file}: ${systemErrorCode(error) ?? why}`, { cause: error });
  }
}

/** Makes the rename durable (fsync(2), "Notes"). */
async function syncFolder(folder: string): Promise<void> {
  const handle = await open(folder, 'r');
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}
