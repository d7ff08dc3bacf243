/** A place in a run's log, from which it is read in small pieces: whoever does not take them holds one, and nothing of the log. */

import { FRAME_HEADER_BYTES, FRAME_TYPE } from '../../protocol/frames.ts';
import { FleetError } from '../../shared/errors.ts';
import type { RunRecord } from '../bus/runs-table.ts';
import type { ApiStore } from './find.ts';

/** Most output in one event, bytes: as JSON up to six times that, of which each follower may have one on its way. */
export const PIECE_BYTES = 32 * 1024;

/** A frame, or of one with much output a part that ends with a whole character where there is one. */
export interface LogPiece {
  type: number;
  payload: Buffer;
  /** Offset to go on from. */
  next: number;
}

interface Frame {
  /** Offset of its header in the log. */
  at: number;
  type: number;
  payload: Buffer;
}

export class LogCursor {
  readonly #runs: ApiStore['runs'];
  readonly #run: Pick<RunRecord, 'seq' | 'id'>;
  #offset: number;
  /** Where the frame begins that the offset is in; undefined until somebody looked. */
  #frameAt: number | undefined;
  /** Stored bytes from that offset on. */
  #stored: { at: number; bytes: Buffer } | undefined;

  constructor(runs: ApiStore['runs'], run: Pick<RunRecord, 'seq' | 'id'>, offset: number) {
    this.#runs = runs;
    this.#run = run;
    this.#offset = offset;
    if (offset === 0) this.#frameAt = 0;
  }

  get offset(): number {
    return this.#offset;
  }

  /** The next piece of a log that has so many bytes; undefined when there is none (any more). @throws FleetError `bad_request`. */
  read(logBytes: number): LogPiece | undefined {
    if (this.#offset >= logBytes) return undefined;
    this.#frameAt ??= this.#locate();
    const frame = this.#frameFrom(this.#frameAt);
    if (frame === undefined) return undefined;
    const from = Math.max(0, this.#offset - frame.at - FRAME_HEADER_BYTES);
    const to = pieceEnd(frame, from);
    const isLast = to === frame.payload.length;
    const next = frame.at + FRAME_HEADER_BYTES + to;
    this.#offset = next;
    if (isLast) this.#frameAt = next;
    return { type: frame.type, payload: frame.payload.subarray(from, to), next };
  }

  /** Lets go of what can be read again. */
  release(): void {
    this.#stored = undefined;
  }

  /** Stored chunks are whole frames, so a place can be found from the beginning of its chunk. @throws FleetError `bad_request`. */
  #locate(): number {
    let at = this.#runs.chunkStart(this.#run.seq, this.#offset) ?? 0;
    for (let frame = this.#frameFrom(at); frame !== undefined && at < this.#offset; frame = this.#frameFrom(at)) {
      const end = at + FRAME_HEADER_BYTES + frame.payload.length;
      if (this.#offset < end) return this.#assertPiece(frame);
      at = end;
    }
    return at;
  }

  /** @throws FleetError `bad_request` when no piece of the frame begins at the offset */
  #assertPiece(frame: Frame): number {
    const wanted = this.#offset - frame.at - FRAME_HEADER_BYTES;
    for (let to = 0; to < wanted; ) {
      to = pieceEnd(frame, to);
      if (to === wanted) return frame.at;
    }
    throw new FleetError('bad_request', `${this.#offset} is not an offset that an event of ${this.#run.id} has named`, {
      hint: 'It is `next` of a line of: fleet jobs logs --jsonl',
    });
  }

  #frameFrom(at: number): Frame | undefined {
    const { bytes, start } = this.#bytesFrom(at);
    if (bytes.length < start + FRAME_HEADER_BYTES) return undefined;
    const begin = start + FRAME_HEADER_BYTES;
    const length = bytes.readUInt32BE(start + 1);
    return { at, type: bytes.readUInt8(start), payload: bytes.subarray(begin, begin + length) };
  }

  #bytesFrom(at: number): { bytes: Buffer; start: number } {
    const present = this.#stored;
    if (present !== undefined && at >= present.at && at < present.at + present.bytes.length) {
      return { bytes: present.bytes, start: at - present.at };
    }
    const bytes = this.#runs.readLog(this.#run.seq, at);
    this.#stored = { at, bytes };
    return { bytes, start: 0 };
  }
}

/** Where the piece ends that begins at `from`, in the payload. The same for everybody who asks. */
function pieceEnd({ type, payload }: Frame, from: number): number {
  const isOutput = type === FRAME_TYPE.stdout || type === FRAME_TYPE.stderr;
  const to = from + PIECE_BYTES;
  if (!isOutput || to >= payload.length) return payload.length;
  // A character of UTF-8 has at most three bytes after its first.
  for (let cut = to; cut > to - 4; cut -= 1) if (((payload[cut] ?? 0) & 0xc0) !== 0x80) return cut;
  return to;
}
