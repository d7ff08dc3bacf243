/**
 * The log of one run: a sequence of frames, the same bytes in the node's spool, on the wire and in the gateway's store.
 *
 * frame = type (1 byte) · payload length (4 bytes, big endian) · payload. A position in the log is a byte offset, so that
 * "go on from N" is a file read from N. The last frame of a finished run is `end`.
 */
import { isUtf8 } from 'node:buffer';
import { FleetError } from '../shared/errors.ts';

/** Media type of a log, or a part of one, as the body of an answer. */
export const LOG_CONTENT_TYPE = 'application/octet-stream';

export const FRAME_TYPE = {
  /** Bytes that the command wrote to stdout. */
  stdout: 1,
  /** Bytes that the command wrote to stderr. */
  stderr: 2,
  /** JSON of a {@link runStartedSchema}: the process exists. */
  started: 3,
  /** JSON of a {@link RunOutcome}: the process group is gone and its pipes are drained. Nothing follows. */
  end: 4,
  /** JSON of a {@link RunGap}: at this place output was not kept. */
  gap: 5,
  /** Empty. In a log: from here on, readers of the whole output get it live. In what they get: the end. */
  live: 7,
} as const;

type FrameType = (typeof FRAME_TYPE)[keyof typeof FRAME_TYPE];

export interface Frame {
  type: FrameType;
  payload: Buffer;
}

export const FRAME_HEADER_BYTES = 5;
/** Largest payload of one frame; longer output is split. */
export const MAX_FRAME_PAYLOAD_BYTES = 256 * 1024;

const KNOWN_TYPES: ReadonlySet<number> = new Set(Object.values(FRAME_TYPE));

/** One frame as bytes. @throws RangeError when the payload is over {@link MAX_FRAME_PAYLOAD_BYTES}. */
export function encodeFrame(type: FrameType, payload: Uint8Array): Buffer {
  if (payload.length > MAX_FRAME_PAYLOAD_BYTES) throw new RangeError(`frame payload of ${payload.length} bytes`);
  const bytes = Buffer.allocUnsafe(FRAME_HEADER_BYTES + payload.length);
  bytes.writeUInt8(type, 0);
  bytes.writeUInt32BE(payload.length, 1);
  bytes.set(payload, FRAME_HEADER_BYTES);
  return bytes;
}

/** Cuts a byte stream into frames, whatever the chunk borders. */
export class FrameDecoder {
  #pending: Buffer = Buffer.alloc(0);

  /**
   * The frames that became complete with `chunk`; an unfinished rest is kept for the next call.
   * @throws RangeError on an unknown type or an oversized length: the stream is then garbage and must be dropped.
   */
  push(chunk: Buffer): Frame[] {
    const buffer = this.#pending.length === 0 ? chunk : Buffer.concat([this.#pending, chunk]);
    const frames: Frame[] = [];
    let offset = 0;
    while (buffer.length - offset >= FRAME_HEADER_BYTES) {
      const type = buffer.readUInt8(offset);
      const length = buffer.readUInt32BE(offset + 1);
      if (!KNOWN_TYPES.has(type)) throw new RangeError(`unknown frame type ${type}`);
      if (length > MAX_FRAME_PAYLOAD_BYTES) throw new RangeError(`frame payload of ${length} bytes`);
      const end = offset + FRAME_HEADER_BYTES + length;
      if (buffer.length < end) break;
      frames.push({ type: type as FrameType, payload: buffer.subarray(offset + FRAME_HEADER_BYTES, end) });
      offset = end;
    }
    this.#pending = buffer.subarray(offset);
    return frames;
  }

  /** Bytes of an unfinished frame that are held back. */
  get pendingBytes(): number {
    return this.#pending.length;
  }
}

/** How output bytes stand in JSON: as text where they are UTF-8, as base64 where they are not. CLI.md: `--jsonl`. */
type TextData = { data: string } | { data: string; encoding: 'base64' };

/** Bytes for JSON. Give whole UTF-8 characters if you want text: one that is cut makes the lot base64. */
export function encodeData(bytes: Uint8Array): TextData {
  const buffer = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  return isUtf8(buffer) ? { data: buffer.toString('utf8') } : { data: buffer.toString('base64'), encoding: 'base64' };
}

/** The bytes again. @throws FleetError `bad_request` on another encoding than base64, or on text that is not base64. */
export function decodeData(value: { data: string; encoding?: string | undefined }): Buffer {
  if (value.encoding === undefined) return Buffer.from(value.data, 'utf8');
  if (value.encoding !== 'base64') {
    throw new FleetError('bad_request', `unknown encoding of data: ${JSON.stringify(value.encoding)}`);
  }
  const bytes = Buffer.from(value.data, 'base64');
  // Buffer skips foreign characters instead of refusing them.
  if (bytes.toString('base64') !== value.data) throw new FleetError('bad_request', 'data is not base64');
  return bytes;
}
