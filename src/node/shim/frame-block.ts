/** A fixed piece of memory that fills with frames of output, neighbours of one stream made one. */
import { FRAME_HEADER_BYTES, FRAME_TYPE } from '../../protocol/frames.ts';
import type { StreamBytes } from './stream-bytes.ts';

export type OutputType = typeof FRAME_TYPE.stdout | typeof FRAME_TYPE.stderr;

/** Size of a block, headers included, bytes. Less than the largest frame. */
export const BLOCK_BYTES = 64 * 1024;

export class FrameBlock {
  readonly #buffer: Buffer;
  #used = 0;
  #type: OutputType | undefined;
  /** Where the last frame begins. */
  #frameAt = 0;
  #stdoutBytes = 0;
  #stderrBytes = 0;

  /** Takes over `buffer`, of {@link BLOCK_BYTES}. */
  constructor(buffer: Buffer) {
    this.#buffer = buffer;
  }

  /** The frames so far. */
  get frames(): Buffer {
    return this.#buffer.subarray(0, this.#used);
  }

  get counts(): StreamBytes {
    return { stdoutBytes: this.#stdoutBytes, stderrBytes: this.#stderrBytes };
  }

  /** Takes the beginning of `chunk`, as much as there is room for; returns how many bytes that was. */
  add(type: OutputType, chunk: Buffer): number {
    const header = type === this.#type ? 0 : FRAME_HEADER_BYTES;
    const room = Math.max(0, this.#buffer.length - this.#used - header);
    const taken = chunk.copy(this.#buffer, this.#used + header, 0, room);
    if (taken === 0) return 0;
    if (header > 0) {
      this.#type = type;
      this.#frameAt = this.#used;
      this.#buffer.writeUInt8(type, this.#frameAt);
    }
    this.#used += header + taken;
    this.#buffer.writeUInt32BE(this.#used - this.#frameAt - FRAME_HEADER_BYTES, this.#frameAt + 1);
    if (type === FRAME_TYPE.stdout) this.#stdoutBytes += taken;
    else this.#stderrBytes += taken;
    return taken;
  }
}
