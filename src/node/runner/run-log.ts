/** How far the log of a run has come, for those who read it; and its end frame, which the node's process itself writes. */

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

  /** The file has `bytes` bytes of whole frames now. */
  advance(bytes: number): void {
    if (bytes <= this.#bytes) return;
    this.#bytes = bytes;
    this.#wake();
  }

  /** Writes the end frame behind what there is; nobody else writes any more. @throws the system's error; may be called again. */
  appendEnd(frame: Buffer): void {
    writeWholeSync(this.#path, frame, this.#bytes);
    this.#bytes += frame.length;
    this.#complete = true;
    this.#wake();
  }

  /** Nothing follows here, even if the end frame is missing: readers learn it. */
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

/** How far a log has come. A finished one never changes. */
interface LogProgress {
  /** Bytes that may be read. */
  readonly bytes: number;
  readonly complete: boolean;
  /** Whether nothing follows although it is not complete. */
  readonly stopped: boolean;
  changed(signal: AbortSignal): Promise<void>;
}

/** Longest piece that is read at once, bytes. */
const READ_CHUNK_BYTES = 256 * 1024;
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

/** Puts the log of a run right after this process was killed in the middle of a write. */
export interface RecoveredLog {
  /** Length in whole frames, to which the file was cut. */
  bytes: number;
  /** Payload of the frames of either kind. */
  stdoutBytes: number;
  stderrBytes: number;
  /** Sums of the gap frames: what they say was not kept. */
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
 * Cuts the file after its last whole frame, or after its end frame; creates it if it is missing.
 * What is cut was never given to a reader: they only see frames whose write had returned.
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

/** Undefined when it is garbage. */
async function readGap(file: FileHandle, at: number, length: number): Promise<StreamBytes | undefined> {
  const payload = Buffer.alloc(length);
  await file.read(payload, 0, length, at);
  try {
    return runGapSchema.parse(JSON.parse(payload.toString()));
  } catch {
    return undefined;
  }
}
