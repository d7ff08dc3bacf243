/** Keeps the last part of what a command writes, in the order of its streams, within a bound of memory and disk. */
import { encodeFrame, FRAME_TYPE, FrameDecoder } from '../../protocol/frames.ts';
import { BLOCK_BYTES, type BlockStore, FileBlocks, FrameBlock, MemoryBlocks, type OutputType } from './block-store.ts';
import { add, type StreamBytes, total } from './messages.ts';

/** A tail that fits is kept in memory, bytes; the agent works on several runs at once. */
const MEMORY_BYTES = 1024 * 1024;
/** Buffers that are kept for the next blocks. */
const MOST_FREE_BUFFERS = 4;

interface OutputTailOptions {
  /** Of a file that is made when memory does not do; its name goes at once. */
  path: string;
  /** Most that is kept, bytes of both streams together. */
  maxBytes: number;
  /** Called after each write, for the one who paused because of `pendingBytes`. */
  onWritten: () => void;
}

/** Whole frames, and the output in them. */
interface TailPiece extends StreamBytes {
  frames: Buffer;
}

interface StoredBlock extends StreamBytes {
  slot: number;
  length: number;
}

export class OutputTail {
  readonly #maxBytes: number;
  readonly #onWritten: () => void;
  readonly #store: BlockStore;
  /** Room for as many bytes of headers as of output: see `maxLogBytes`. */
  readonly #slots: number;
  /** The oldest first. */
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

  constructor({ path, maxBytes, onWritten }: OutputTailOptions) {
    this.#maxBytes = maxBytes;
    this.#onWritten = onWritten;
    this.#slots = Math.ceil((2 * maxBytes) / BLOCK_BYTES) + 2;
    this.#store = this.#slots * BLOCK_BYTES <= MEMORY_BYTES ? new MemoryBlocks() : new FileBlocks(path);
  }

  /** What is kept at present; a little more than `maxBytes` until {@link drain} cuts it. */
  get counts(): StreamBytes {
    return this.#blocks.reduce<StreamBytes>(add, this.#open?.counts ?? { stdoutBytes: 0, stderrBytes: 0 });
  }

  /** Of memory or disk, bytes. */
  get spaceBytes(): number {
    return this.#blocks.length * BLOCK_BYTES;
  }

  /** On the way to the disk, bytes. */
  get pendingBytes(): number {
    return this.#pendingBytes;
  }

  /** Why what was kept is lost, and nothing more is taken. */
  get error(): Error | undefined {
    return this.#error;
  }

  push(type: OutputType, chunk: Buffer): void {
    if (this.#maxBytes === 0 || this.#error !== undefined) return;
    for (let offset = 0; offset < chunk.length; ) {
      this.#open ??= new FrameBlock(this.#free.pop() ?? Buffer.allocUnsafeSlow(BLOCK_BYTES));
      const taken = this.#open.add(type, chunk.subarray(offset));
      if (taken === 0) this.#seal(this.#open);
      offset += taken;
    }
  }

  /** Resolves when nothing is on the way to the disk. */
  async flush(): Promise<void> {
    await this.#writing;
  }

  /**
   * Cuts the tail to exactly `maxBytes`, and gives it out, the oldest first; it is empty afterwards. `counts` is exact from the first
   * piece on and shrinks with each that is asked for. @throws the system's error.
   */
  async *drain(): AsyncGenerator<TailPiece> {
    await this.flush();
    for (let excess = total(this.counts) - this.#maxBytes; ; ) {
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
    await this.#store.close();
  }

  async #shift(): Promise<TailPiece | undefined> {
    const block = this.#blocks.shift();
    if (block !== undefined) {
      const { slot, length, ...counts } = block;
      this.#storedBytes -= total(block);
      return { frames: await this.#store.read(slot, length), ...counts };
    }
    const open = this.#open;
    this.#open = undefined;
    return open && { frames: open.frames, ...open.counts };
  }

  #seal(block: FrameBlock): void {
    const { frames } = block;
    const stored = { slot: this.#sealed % this.#slots, length: frames.length, ...block.counts };
    this.#open = undefined;
    this.#sealed += 1;
    this.#blocks.push(stored);
    this.#storedBytes += total(stored);
    for (let [first] = this.#blocks; first !== undefined && this.#canGo(first); [first] = this.#blocks) {
      this.#blocks.shift();
      this.#storedBytes -= total(first);
    }
    this.#pendingBytes += frames.length;
    this.#writing = this.#writing.then(() => this.#write(stored.slot, frames));
  }

  /** Whether the slots are used up, or the others hold enough without this one. */
  #canGo(first: StoredBlock): boolean {
    return this.#blocks.length > this.#slots || this.#storedBytes - total(first) >= this.#maxBytes;
  }

  async #write(slot: number, frames: Buffer): Promise<void> {
    try {
      if (this.#error === undefined) await this.#store.write(slot, frames);
    } catch (error) {
      this.#error = error instanceof Error ? error : new Error(String(error));
      this.#forget();
    }
    this.#pendingBytes -= frames.length;
    if (this.#free.length < MOST_FREE_BUFFERS) this.#free.push(Buffer.from(frames.buffer));
    this.#onWritten();
  }

  #forget(): void {
    this.#blocks = [];
    this.#storedBytes = 0;
    this.#open = undefined;
  }
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
