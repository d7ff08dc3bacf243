/** Where the blocks of a rolling tail lie: in memory if that is little, else in a file that nobody else can see. */
import { type FileHandle, open, unlink } from 'node:fs/promises';
import { dirname } from 'node:path';
import { FRAME_HEADER_BYTES, FRAME_TYPE } from '../../protocol/frames.ts';
import { requireDisk } from './disk-reserve.ts';
import type { StreamBytes } from './messages.ts';

export interface BlockStore {
  /** Puts a block, of at most {@link BLOCK_BYTES}, into a slot. The bytes may change once this has resolved. @throws the system's error. */
  write(slot: number, bytes: Buffer): Promise<void>;
  /** @throws the system's error. */
  read(slot: number, length: number): Promise<Buffer>;
  close(): Promise<void>;
}

export class MemoryBlocks implements BlockStore {
  readonly #slots = new Map<number, Buffer>();

  async write(slot: number, bytes: Buffer): Promise<void> {
    const place = this.#slots.get(slot) ?? Buffer.allocUnsafeSlow(BLOCK_BYTES);
    bytes.copy(place);
    this.#slots.set(slot, place);
  }

  async read(slot: number, length: number): Promise<Buffer> {
    return (this.#slots.get(slot) ?? Buffer.alloc(0)).subarray(0, length);
  }

  async close(): Promise<void> {
    this.#slots.clear();
  }
}

export class FileBlocks implements BlockStore {
  readonly #path: string;
  #file: FileHandle | undefined;

  constructor(path: string) {
    this.#path = path;
  }

  async write(slot: number, bytes: Buffer): Promise<void> {
    requireDisk(dirname(this.#path), bytes.length);
    const file = this.#file ?? (await this.#open());
    for (let written = 0; written < bytes.length; ) {
      const at = slot * BLOCK_BYTES + written;
      written += (await file.write(bytes, written, bytes.length - written, at)).bytesWritten;
    }
  }

  async read(slot: number, length: number): Promise<Buffer> {
    const bytes = Buffer.allocUnsafe(length);
    const result = await this.#file?.read(bytes, 0, length, slot * BLOCK_BYTES);
    if (result?.bytesRead !== length) throw new Error(`a block of ${this.#path} is cut off`);
    return bytes;
  }

  async close(): Promise<void> {
    const file = this.#file;
    this.#file = undefined;
    await file?.close();
  }

  async #open(): Promise<FileHandle> {
    this.#file = await open(this.#path, 'w+', 0o600);
    // Without a name it goes with this process, however that ends.
    await unlink(this.#path);
    return this.#file;
  }
}

/** A fixed piece of memory that fills with frames of output, neighbours of one stream made one. */
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
