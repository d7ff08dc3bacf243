/** How far the log of a run has come, for those who read it; and its end frame, which the node's process itself writes. */
import { writeWholeSync } from '../shim/log-writer.ts';
import type { LogProgress } from './log-reader.ts';

export class RunLog implements LogProgress {
  readonly #path: string;
  #bytes: number;
  #complete = false;
  #stopped = false;
  readonly #waiters = new Set<() => void>();

  constructor(path: string, bytes: number) {
    this.#path = path;
    this.#bytes = bytes;
  }

  get bytes(): number {
    return this.#bytes;
  }

  get complete(): boolean {
    return this.#complete;
  }

  get stopped(): boolean {
    return this.#stopped;
  }

  /** The file has `bytes` bytes of whole frames now. */
  advance(bytes: number): void {
    if (bytes <= this.#bytes) return;
    this.#bytes = bytes;
    this.#wake();
  }

  /** Writes the end frame behind what there is; nobody else writes any more. @throws the system's error; may be called again. */
  appendEnd(frame: Buffer): void {
    writeWholeSync(this.#path, frame, this.#bytes);
    this.#bytes += frame.length;
    this.#complete = true;
    this.#wake();
  }

  /** Nothing follows here, even if the end frame is missing: readers learn it. */
  stop(): void {
    this.#stopped = true;
    this.#wake();
  }

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

  #wake(): void {
    for (const waiter of [...this.#waiters]) waiter();
  }
}
