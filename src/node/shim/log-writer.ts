/** Appends to the log of one run through a bounded queue. */
import { closeSync, constants, ftruncateSync, openSync, writeSync } from 'node:fs';
import { type FileHandle, open } from 'node:fs/promises';
import { dirname } from 'node:path';
import { requireDisk } from './disk-reserve.ts';

/** Most bytes per system call. */
const BATCH_BYTES = 1024 * 1024;
const CREATE = constants.O_RDWR | constants.O_CREAT;

interface Entry {
  bytes: Buffer;
  /** Called if the frame could not be stored. */
  lost: () => void;
}

interface LogWriterOptions {
  path: string;
  /** Length of the whole frames that the file already holds; the next frame goes there. */
  bytes: number;
  /** Called after each write, for a reader that paused because of `pendingBytes`. */
  onWritten: () => void;
}

export class LogWriter {
  readonly #options: LogWriterOptions;
  #file: FileHandle | undefined;
  #bytes: number;
  #pendingBytes = 0;
  #queue: Entry[] = [];
  #pumping: Promise<void> | undefined;
  #error: Error | undefined;
  #closed = false;

  constructor(options: LogWriterOptions) {
    this.#options = options;
    this.#bytes = options.bytes;
  }

  /** Whole frames in the file, bytes. */
  get bytes(): number {
    return this.#bytes;
  }

  /** Queued and not yet in the file, bytes. */
  get pendingBytes(): number {
    return this.#pendingBytes;
  }

  /** Why output was lost. The log is then a prefix of the output: nothing is appended after a gap. */
  get error(): Error | undefined {
    return this.#error;
  }

  append(bytes: Buffer, lost: () => void): void {
    if (this.#error !== undefined || this.#closed) {
      lost();
      return;
    }
    this.#queue.push({ bytes, lost });
    this.#pendingBytes += bytes.length;
    this.#pumping ??= this.#pump();
  }

  /** Resolves when the queue is empty. */
  async flush(): Promise<void> {
    while (this.#pumping !== undefined) await this.#pumping;
  }

  /** Makes what was written durable. @throws the system's error. */
  async sync(): Promise<void> {
    await this.#file?.datasync();
  }

  /** Closes the file once the queue is empty. @throws the system's error. */
  async close(): Promise<void> {
    this.#closed = true;
    await this.flush();
    const file = this.#file;
    this.#file = undefined;
    await file?.close();
  }

  async #pump(): Promise<void> {
    while (this.#queue.length > 0) {
      const batch = this.#takeBatch();
      const chunks = batch.map(({ bytes }) => bytes);
      try {
        const [first] = chunks;
        await this.#write(chunks.length === 1 && first !== undefined ? first : Buffer.concat(chunks));
        for (const { length } of chunks) this.#pendingBytes -= length;
      } catch (error) {
        this.#error = error instanceof Error ? error : new Error(String(error));
        for (const { lost } of [...batch, ...this.#queue.splice(0)]) lost();
        this.#pendingBytes = 0;
      }
      this.#options.onWritten();
    }
    this.#pumping = undefined;
  }

  #takeBatch(): Entry[] {
    let count = 0;
    for (let bytes = 0; count < this.#queue.length; count += 1) {
      bytes += this.#queue[count]?.bytes.length ?? 0;
      if (count > 0 && bytes > BATCH_BYTES) break;
    }
    return this.#queue.splice(0, count);
  }

  async #write(data: Buffer): Promise<void> {
    const { path } = this.#options;
    this.#file ??= await open(path, CREATE, 0o600);
    requireDisk(dirname(path), data.length);
    try {
      await writeAt(this.#file, data, this.#bytes);
    } catch (error) {
      // Frees the space of a partial write; if this fails, the next write or start overwrites it anyway.
      await this.#file.truncate(this.#bytes).catch(() => {});
      throw error;
    }
    this.#bytes += data.length;
  }
}

/** @throws the system's error; some of `data` may have been written. */
export async function writeAt(file: FileHandle, data: Buffer, at: number): Promise<void> {
  for (let written = 0; written < data.length; ) {
    written += (await file.write(data, written, data.length - written, at + written)).bytesWritten;
  }
}

/** Appends `data`, a small amount, to a file of `end` bytes, or none of it. @throws the system's error; may be called again. */
export function writeWholeSync(path: string, data: Buffer, end: number): void {
  const file = openSync(path, CREATE, 0o600);
  try {
    for (let written = 0; written < data.length; ) {
      written += writeSync(file, data, written, data.length - written, end + written);
    }
  } catch (error) {
    try {
      ftruncateSync(file, end);
    } catch {
      // As above.
    }
    throw error;
  } finally {
    closeSync(file);
  }
}
