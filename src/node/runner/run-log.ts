/** The log of a run: its progress, for readers; its end frame, which this process writes; and its repair after a kill. */

import { closeSync, constants, openSync, read, readSync } from 'node:fs';
import { type FileHandle, open } from 'node:fs/promises';
import { promisify } from 'node:util';
import { FRAME_HEADER_BYTES, FRAME_TYPE, MAX_FRAME_PAYLOAD_BYTES } from '../../protocol/frames.ts';
import { runGapSchema } from '../../protocol/run-spec.ts';
import { FleetError, systemErrorCode } from '../../shared/errors.ts';
import { writeWholeSync } from '../shim/log-writer.ts';
import { add, type StreamBytes } from '../shim/messages.ts';

export class RunLog implements LogProgress {
  readonly #path: string;
  #bytes: number;
  #complete = false;
  #stopped = false;
  readonly #waiters = new Set<() => void>();

  constructor(path: string, bytes: number) {
    this.#path = path;
    this.#bytes = bytes;
  }

  get bytes(): number {
    return this.#bytes;
  }

  get complete(): boolean {
    return this.#complete;
  }

  get stopped(): boolean {
    return this.#stopped;
  }

  /** The file now has `bytes` bytes of whole frames. */
  advance(bytes: number): void {
    if (bytes <= this.#bytes) return;
    this.#bytes = bytes;
    this.#wake();
  }

  /** Writes the end frame, once the log has no other writer. @throws the system's error; may be retried. */
  appendEnd(frame: Buffer): void {
    writeWholeSync(this.#path, frame, this.#bytes);
    this.#bytes += frame.length;
    this.#complete = true;
    this.#wake();
  }

  /** Ends all readers, even without an end frame. */
  stop(): void {
    this.#stopped = true;
    this.#wake();
  }

  changed(signal: AbortSignal): Promise<void> {
    return new Promise((resolve) => {
      const done = (): void => {
        this.#waiters.delete(done);
        signal.removeEventListener('abort', done);
        resolve();
      };
      if (signal.aborted) return resolve();
      signal.addEventListener('abort', done, { once: true });
      this.#waiters.add(done);
    });
  }

  #wake(): void {
    for (const waiter of [...this.#waiters]) waiter();
  }
}

interface LogProgress {
  /** Bytes that may be read. */
  readonly bytes: number;
  readonly complete: boolean;
  /** Whether this process has stopped following it. */
  readonly stopped: boolean;
  changed(signal: AbortSignal): Promise<void>;
}

/** Largest read, bytes. */
const READ_CHUNK_BYTES = 256 * 1024;
/** Read synchronously up to this size, bytes: fresh output is in memory, where the thread pool costs ten times the read itself. */
const SMALL_BYTES = 16 * 1024;

const readLater = promisify(read);

/**
 * The bytes of the log from `from` through the end frame.
 * @throws FleetError `connection_lost` if this process releases the run, `not_found` if the file was removed to free space,
 * `storage_failed` if it got shorter; and the signal's reason.
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
  if (log.stopped)
    throw new FleetError('connection_lost', 'the node released the run, which continues after the restart');
  await log.changed(signal);
  signal.throwIfAborted();
}

/** What {@link recoverLog} finds. */
export interface RecoveredLog {
  /** Length in whole frames, to which the file was truncated. */
  bytes: number;
  /** Payload of the output frames. */
  stdoutBytes: number;
  stderrBytes: number;
  /** Sums of the gap frames. */
  gaps: StreamBytes;
  /** Whether the last frame is the end frame. */
  ended: boolean;
}

const WINDOW_BYTES = 256 * 1024;
const STORED_TYPES: ReadonlySet<number> = new Set([
  FRAME_TYPE.stdout,
  FRAME_TYPE.stderr,
  FRAME_TYPE.started,
  FRAME_TYPE.gap,
  FRAME_TYPE.live,
  FRAME_TYPE.end,
]);

/**
 * Truncates the file after its last whole frame, or its end frame, in case its writer was killed; creates it if it is missing.
 * No reader has seen what is cut off: they only get frames whose write has returned.
 */
export async function recoverLog(path: string): Promise<RecoveredLog> {
  const file = await open(path, constants.O_RDWR | constants.O_CREAT, 0o600);
  try {
    const { size } = await file.stat();
    const log = await scan(file, size);
    if (log.bytes < size) await file.truncate(log.bytes);
    return log;
  } finally {
    await file.close();
  }
}

async function scan(file: FileHandle, size: number): Promise<RecoveredLog> {
  const log: RecoveredLog = {
    bytes: 0,
    stdoutBytes: 0,
    stderrBytes: 0,
    gaps: { stdoutBytes: 0, stderrBytes: 0 },
    ended: false,
  };
  const window = Buffer.allocUnsafe(WINDOW_BYTES);
  let windowStart = 0;
  let windowBytes = 0;
  while (!log.ended && log.bytes + FRAME_HEADER_BYTES <= size) {
    if (log.bytes + FRAME_HEADER_BYTES > windowStart + windowBytes) {
      windowStart = log.bytes;
      windowBytes = (await file.read(window, 0, WINDOW_BYTES, windowStart)).bytesRead;
      if (windowBytes < FRAME_HEADER_BYTES) break;
    }
    const type = window.readUInt8(log.bytes - windowStart);
    const length = window.readUInt32BE(log.bytes - windowStart + 1);
    const next = log.bytes + FRAME_HEADER_BYTES + length;
    if (!STORED_TYPES.has(type) || length > MAX_FRAME_PAYLOAD_BYTES || next > size) break;
    if (type === FRAME_TYPE.gap) {
      const gap = await readGap(file, next - length, length);
      if (gap === undefined) break;
      log.gaps = add(log.gaps, gap);
    }
    log.bytes = next;
    if (type === FRAME_TYPE.stdout) log.stdoutBytes += length;
    if (type === FRAME_TYPE.stderr) log.stderrBytes += length;
    log.ended = type === FRAME_TYPE.end;
  }
  return log;
}

/** Undefined for garbage. */
async function readGap(file: FileHandle, at: number, length: number): Promise<StreamBytes | undefined> {
  const payload = Buffer.alloc(length);
  await file.read(payload, 0, length, at);
  try {
    return runGapSchema.parse(JSON.parse(payload.toString()));
  } catch {
    return undefined;
  }
}
