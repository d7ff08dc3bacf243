/** Appends to the log of one run, through one queue, so that the command's output never waits for more than this queue's room. */

import { closeSync, constants, ftruncateSync, openSync, writeSync } from 'node:fs';
import { type FileHandle, open } from 'node:fs/promises';
import { dirname } from 'node:path';
import { requireDisk } from './disk-reserve.ts';

/** Written with one system call at most, bytes. */
const BATCH_BYTES = 1024 * 1024;

interface Entry {
  bytes: Buffer;
  /** Called if the frame could not be stored. */
  lost: () => void;
}

interface LogWriterOptions {
  path: string;
  /** Length of what the file already holds in whole frames; the next frame goes there. */
  bytes: number;
  /** Called after each write, for the one who paused because of `pendingBytes`. */
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

  /** Why output was lost. The log is then a prefix of the output: nothing more of it is taken after a gap. */
  get error(): Error | undefined {
    return this.#error;
  }

  /** Queues a frame of output. */
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

  /** Brings what was written onto the disk. @throws the system's error. */
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
      try {
        const [first, ...rest] = batch.map((entry) => entry.bytes);
        await this.#write(
          rest.length === 0 && first !== undefined ? first : Buffer.concat(batch.map((entry) => entry.bytes)),
        );
      } catch (error) {
        this.#error = error instanceof Error ? error : new Error(String(error));
        for (const entry of [...batch, ...this.#queue.splice(0)]) entry.lost();
        this.#pendingBytes = 0;
      }
      for (const entry of this.#error === undefined ? batch : []) this.#pendingBytes -= entry.bytes.length;
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
    this.#file ??= await openLog(this.#options.path);
    requireDisk(dirname(this.#options.path), data.length);
    await writeWhole(this.#file, data, this.#bytes);
    this.#bytes += data.length;
  }
}

/** Creates the file if it is missing. @throws the system's error. */
async function openLog(path: string): Promise<FileHandle> {
  return await open(path, constants.O_RDWR | constants.O_CREAT, 0o600);
}

/** All of `data` at the end of the file, which is at `end`, or none of it. @throws the system's error; may be called again. */
async function writeWhole(file: FileHandle, data: Buffer, end: number): Promise<void> {
  let written = 0;
  try {
    while (written < data.length) {
      written += (await file.write(data, written, data.length - written, end + written)).bytesWritten;
    }
  } catch (error) {
    // Gives the part's space back; should that fail, the next write or the next start overwrites it all the same.
    await file.truncate(end).catch(() => {});
    throw error;
  }
}

/** {@link writeWhole} for little, into a file that is not open. */
export function writeWholeSync(path: string, data: Buffer, end: number): void {
  const file = openSync(path, constants.O_RDWR | constants.O_CREAT, 0o600);
  try {
    for (let written = 0; written < data.length; ) {
      written += writeSync(file, data, written, data.length - written, end + written);
    }
  } catch (error) {
    giveBack(file, end);
    throw error;
  } finally {
    closeSync(file);
  }
}

function giveBack(file: number, end: number): void {
  try {
    ftruncateSync(file, end);
  } catch {
    // As above.
  }
}
