/** Puts the log of a run right after this process was killed in the middle of a write. */
import { constants } from 'node:fs';
import { type FileHandle, open } from 'node:fs/promises';
import { FRAME_HEADER_BYTES, FRAME_TYPE, MAX_FRAME_PAYLOAD_BYTES } from '../../protocol/frames.ts';
import { runGapSchema } from '../../protocol/run-spec.ts';
import { add, type StreamBytes } from '../shim/stream-bytes.ts';

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
