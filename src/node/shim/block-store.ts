/** Where the blocks of a rolling tail lie: in memory if that is little, else in a file that nobody else can see. */
import { type FileHandle, open, unlink } from 'node:fs/promises';
import { dirname } from 'node:path';
import { requireDisk } from './disk-reserve.ts';
import { BLOCK_BYTES } from './frame-block.ts';

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
