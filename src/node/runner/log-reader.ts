/** Reads the log of a run from any byte on, and follows it while it grows; as many readers as there may be. */
import { closeSync, openSync, read, readSync } from 'node:fs';
import { promisify } from 'node:util';
import { FleetError, systemErrorCode } from '../../shared/errors.ts';

/** How far a log has come. A finished one never changes. */
export interface LogProgress {
  /** Bytes that may be read. */
  readonly bytes: number;
  readonly complete: boolean;
  /** Whether nothing follows although it is not complete. */
  readonly stopped: boolean;
  changed(signal: AbortSignal): Promise<void>;
}

/** Longest piece that is read at once, bytes. */
export const READ_CHUNK_BYTES = 256 * 1024;
/** Read at once: what has just been written is in memory, where the way over another thread costs ten times the read. */
const SMALL_BYTES = 16 * 1024;

const readLater = promisify(read);

/**
 * The bytes of the log from `from`, ending after the end frame.
 * @throws FleetError `connection_lost` when this process lets go of the run before its end, `not_found` when the file was removed
 * to make room, `storage_failed` when it is shorter than it was; and the signal's reason when it aborts.
 */
export async function* followLog(
  path: string,
  from: number,
  log: LogProgress,
  signal: AbortSignal,
): AsyncGenerator<Buffer, void, undefined> {
  signal.throwIfAborted();
  while (log.bytes <= from && !log.complete) await nextChange(log, signal);
  if (log.bytes <= from) return;
  const file = openLog(path);
  try {
    for (let offset = from; ; ) {
      while (offset < log.bytes) {
        const piece = Buffer.allocUnsafe(Math.min(READ_CHUNK_BYTES, log.bytes - offset));
        const bytesRead =
          piece.length <= SMALL_BYTES
            ? readSync(file, piece, 0, piece.length, offset)
            : (await readLater(file, piece, 0, piece.length, offset)).bytesRead;
        signal.throwIfAborted();
        if (bytesRead === 0) throw new FleetError('storage_failed', `the log ${path} ends before its end`);
        offset += bytesRead;
        yield piece.subarray(0, bytesRead);
        signal.throwIfAborted();
      }
      if (log.complete && offset >= log.bytes) return;
      await nextChange(log, signal);
    }
  } finally {
    closeSync(file);
  }
}

function openLog(path: string): number {
  try {
    return openSync(path, 'r');
  } catch (error) {
    const code = systemErrorCode(error) === 'ENOENT' ? 'not_found' : 'storage_failed';
    throw new FleetError(code, `cannot open the log ${path}`, { cause: error });
  }
}

async function nextChange(log: LogProgress, signal: AbortSignal): Promise<void> {
  if (log.stopped) throw new FleetError('connection_lost', 'the node lets go of the run; it goes on after its restart');
  await log.changed(signal);
  signal.throwIfAborted();
}
