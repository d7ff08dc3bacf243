/** Appends to the log of one run, through one queue, so that the command's output never waits for more than this queue's room. */

import { constants } from 'node:fs';
import { type FileHandle, open } from 'node:fs/promises';
import type { LogProgress } from './log-reader.ts';

/** Written with one system call at most, bytes. */
const BATCH_BYTES = 1024 * 1024;

interface Entry {
  bytes: Buffer;
  /** Called if the frame could not be stored. */
  lost: () => void;
}

export interface LogWriterOptions {
  path: string;
  /** Length of what the file already holds in whole frames; the next frame goes there. */
  bytes: number;
  /** Called after each write, for the one who paused because of `pendingBytes`. */
  onWritten: () => void;
}

export class LogWriter implements LogProgress {
  readonly #options: LogWriterOptions;
  #file: FileHandle | undefined;
  #bytes: number;
  #pendingBytes = 0;
  #queue: Entry[] = [];
  #pumping: Promise<void> | undefined;
  #error: Error | undefined;
  #complete = false;
  #stopped = false;
  readonly #waiters = new Set<() => void>();

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

  /** Whether the end frame is in the file. */
  get complete(): boolean {
    return this.#complete;
  }

  /** Whether nothing will follow although the end frame is missing: this process lets go of the run. */
  get stopped(): boolean {
    return this.#stopped;
  }

  /** Why output was lost. The log is then a prefix of the output: nothing more of it is taken after a gap. */
  get error(): Error | undefined {
    return this.#error;
  }

  /** Queues a frame of output. */
  append(bytes: Buffer, lost: () => void): void {
    if (this.#error !== undefined || this.#stopped) {
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

  /** Writes the end frame, also after output was lost. @throws the system's error; may be called again. */
  async appendEnd(frame: Buffer): Promise<void> {
    await this.flush();
    await this.#write(frame);
    this.#complete = true;
    this.#wake();
  }

  /** Closes the file. If the end frame is missing, readers learn that nothing follows here. */
  async close(): Promise<void> {
    this.#stopped = true;
    await this.flush();
    const file = this.#file;
    this.#file = undefined;
    this.#wake();
    await file?.close();
  }

  /** Resolves when there is more to read, nothing more to come, or `signal` aborts. */
  changed(signal: AbortSignal): Promise<void> {
    return new Promise((resolve) => {
      const done = (): void => {
        this.#waiters.delete(done);
        signal.removeEventListener('abort', done);
        resolve();
      };
      if (signal.aborted) return resolve();
      signal.addEventListener('abort', done, { once: true });
      this.#waiters.add(done);
    });
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

  /** All of `data` at the end of the file, or none of it. */
  async #write(data: Buffer): Promise<void> {
    this.#file ??= await open(this.#options.path, constants.O_RDWR | constants.O_CREAT, 0o600);
    let written = 0;
    try {
      while (written < data.length) {
        written += (await this.#file.write(data, written, data.length - written, this.#bytes + written)).bytesWritten;
      }
    } catch (error) {
      // Gives the part's space back; should that fail, the next write or the next start overwrites it all the same.
      await this.#file.truncate(this.#bytes).catch(() => {});
      throw error;
    }
    this.#bytes += data.length;
    this.#wake();
  }

  #wake(): void {
    for (const waiter of [...this.#waiters]) waiter();
  }
}
