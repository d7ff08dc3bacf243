/** Keeps the last part of a command's output, in the order of both streams, within a bound of memory and disk. */
import { type FileHandle, open, unlink } from 'node:fs/promises';
import { dirname } from 'node:path';
import { encodeFrame, FRAME_HEADER_BYTES, FRAME_TYPE, FrameDecoder } from '../../protocol/frames.ts';
import { requireDisk } from './disk-reserve.ts';
import { writeAt } from './log-writer.ts';
import { add, type OutputType, type StreamBytes, total } from './messages.ts';

/** Size of a block, headers included, bytes. Less than the largest frame. */
const BLOCK_BYTES = 64 * 1024;
/** A tail that fits is kept in memory, bytes; the node handles several runs at once. */
const MEMORY_BYTES = 1024 * 1024;
/** Buffers kept for the next blocks. */
const MAX_FREE_BUFFERS = 4;

interface OutputTailOptions {
  /** Of a file that is created if memory isn't enough, and unlinked at once. */
  path: string;
  /** Most that is kept, both streams together, bytes. */
  maxBytes: number;
  /** Called after each write, for a reader that paused because of `pendingBytes`. */
  onWritten: () => void;
}

/** Whole frames, and the output in them. */
interface TailPiece extends StreamBytes {
  frames: Buffer;
}

interface StoredBlock extends StreamBytes {
  slot: number;
  length: number;
  /** Undefined if it is in the file. */
  frames: Buffer | undefined;
}

export class OutputTail {
  readonly #options: OutputTailOptions;
  /** Enough for as many bytes of headers as of output: see `maxLogBytes`. */
  readonly #slots: number;
  readonly #inMemory: boolean;
  #file: FileHandle | undefined;
  /** Oldest first. */
  #blocks: StoredBlock[] = [];
  /** Output in them, bytes. */
  #storedBytes = 0;
  /** Blocks so far; each takes the next slot. */
  #sealed = 0;
  #open: FrameBlock | undefined;
  readonly #free: Buffer[] = [];
  #pendingBytes = 0;
  #writing: Promise<void> = Promise.resolve();
  #error: Error | undefined;

  constructor(options: OutputTailOptions) {
    this.#options = options;
    this.#slots = Math.ceil((2 * options.maxBytes) / BLOCK_BYTES) + 2;
    this.#inMemory = this.#slots * BLOCK_BYTES <= MEMORY_BYTES;
  }

  /** What is kept now; slightly more than `maxBytes` until {@link drain} cuts it. */
  get counts(): StreamBytes {
    return this.#blocks.reduce<StreamBytes>(add, this.#open?.counts ?? { stdoutBytes: 0, stderrBytes: 0 });
  }

  /** In memory or on disk, bytes. */
  get spaceBytes(): number {
    return this.#blocks.length * BLOCK_BYTES;
  }

  /** Not yet on disk, bytes. */
  get pendingBytes(): number {
    return this.#pendingBytes;
  }

  /** Why the tail is lost, and nothing more is accepted. */
  get error(): Error | undefined {
    return this.#error;
  }

  push(type: OutputType, chunk: Buffer): void {
    if (this.#options.maxBytes === 0 || this.#error !== undefined) return;
    for (let offset = 0; offset < chunk.length; ) {
      this.#open ??= new FrameBlock(this.#free.pop() ?? Buffer.allocUnsafeSlow(BLOCK_BYTES));
      const taken = this.#open.add(type, chunk.subarray(offset));
      if (taken === 0) this.#seal(this.#open);
      offset += taken;
    }
  }

  /** Resolves when nothing is pending. */
  async flush(): Promise<void> {
    await this.#writing;
  }

  /**
   * Cuts the tail to exactly `maxBytes` and empties it, oldest first. From the first piece on, `counts` is exact and excludes what was
   * yielded. @throws the system's error.
   */
  async *drain(): AsyncGenerator<TailPiece> {
    await this.flush();
    for (let excess = total(this.counts) - this.#options.maxBytes; ; ) {
      const piece = await this.#shift();
      if (piece === undefined) return;
      const bytes = total(piece);
      if (bytes > excess) yield excess > 0 ? cutFront(piece, excess) : piece;
      excess = Math.max(0, excess - bytes);
    }
  }

  async close(): Promise<void> {
    await this.flush();
    this.#forget();
    await this.#file?.close();
    this.#file = undefined;
  }

  async #shift(): Promise<TailPiece | undefined> {
    const block = this.#blocks.shift();
    if (block !== undefined) {
      const { stdoutBytes, stderrBytes } = block;
      this.#storedBytes -= total(block);
      return { frames: block.frames ?? (await this.#read(block)), stdoutBytes, stderrBytes };
    }
    const open = this.#open;
    this.#open = undefined;
    return open && { frames: open.frames, ...open.counts };
  }

  #seal({ frames, counts }: FrameBlock): void {
    const slot = this.#sealed % this.#slots;
    const stored = { slot, length: frames.length, frames: this.#inMemory ? frames : undefined, ...counts };
    this.#open = undefined;
    this.#sealed += 1;
    this.#blocks.push(stored);
    this.#storedBytes += total(stored);
    for (let [first] = this.#blocks; first !== undefined && this.#isSurplus(first); [first] = this.#blocks) {
      this.#blocks.shift();
      this.#storedBytes -= total(first);
      if (first.frames !== undefined) this.#recycle(first.frames);
    }
    if (this.#inMemory) return;
    this.#pendingBytes += frames.length;
    this.#writing = this.#writing.then(() => this.#write(slot, frames));
  }

  /** Whether the slots are used up, or the other blocks hold enough. */
  #isSurplus(first: StoredBlock): boolean {
    return this.#blocks.length > this.#slots || this.#storedBytes - total(first) >= this.#options.maxBytes;
  }

  #recycle(frames: Buffer): void {
    if (this.#free.length < MAX_FREE_BUFFERS) this.#free.push(Buffer.from(frames.buffer));
  }

  async #write(slot: number, frames: Buffer): Promise<void> {
    const { path, onWritten } = this.#options;
    try {
      if (this.#error === undefined) {
        requireDisk(dirname(path), frames.length);
        this.#file ??= await openUnlinked(path);
        await writeAt(this.#file, frames, slot * BLOCK_BYTES);
      }
    } catch (error) {
      this.#error = error instanceof Error ? error : new Error(String(error));
      this.#forget();
    }
    this.#pendingBytes -= frames.length;
    this.#recycle(frames);
    onWritten();
  }

  async #read({ slot, length }: StoredBlock): Promise<Buffer> {
    const bytes = Buffer.allocUnsafe(length);
    const result = await this.#file?.read(bytes, 0, length, slot * BLOCK_BYTES);
    if (result?.bytesRead !== length) throw new Error(`a block of ${this.#options.path} is truncated`);
    return bytes;
  }

  #forget(): void {
    this.#blocks = [];
    this.#storedBytes = 0;
    this.#open = undefined;
  }
}

/** A file that disappears with this process, however that ends. */
async function openUnlinked(path: string): Promise<FileHandle> {
  const file = await open(path, 'w+', 0o600);
  await unlink(path);
  return file;
}

/** The piece without its first `excess` bytes of output. */
function cutFront(piece: TailPiece, excess: number): TailPiece {
  const kept = { stdoutBytes: 0, stderrBytes: 0 };
  const frames: Buffer[] = [];
  let left = excess;
  for (const { type, payload } of new FrameDecoder().push(piece.frames)) {
    const rest = payload.subarray(Math.min(left, payload.length));
    left -= payload.length - rest.length;
    if (rest.length === 0) continue;
    frames.push(encodeFrame(type, rest));
    kept[type === FRAME_TYPE.stdout ? 'stdoutBytes' : 'stderrBytes'] += rest.length;
  }
  return { frames: Buffer.concat(frames), ...kept };
}

/** A fixed buffer that fills with frames; adjacent output of one stream shares a frame. */
class FrameBlock {
  readonly #buffer: Buffer;
  readonly counts: StreamBytes = { stdoutBytes: 0, stderrBytes: 0 };
  #used = 0;
  #type: OutputType | undefined;
  /** Start of the last frame. */
  #frameAt = 0;

  /** Takes over `buffer`, of {@link BLOCK_BYTES}. */
  constructor(buffer: Buffer) {
    this.#buffer = buffer;
  }

  get frames(): Buffer {
    return this.#buffer.subarray(0, this.#used);
  }

  /** Takes as much of `chunk` as there is room for; returns how many bytes that was. */
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
    this.counts[type === FRAME_TYPE.stdout ? 'stdoutBytes' : 'stderrBytes'] += taken;
    return taken;
  }
}
