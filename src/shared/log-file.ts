/** A log on disk that cannot fill it: one file and its predecessor, each of bounded size. */
import { closeSync, existsSync, fstatSync, openSync, renameSync, writeSync } from 'node:fs';
import { systemErrorCode } from './errors.ts';

/** At this size the file becomes `.1` and a new one is begun, bytes. */
const DEFAULT_MAX_BYTES = 10 * 1024 * 1024;

const NEWLINE = 0x0a;

/** A pino destination. A full disk loses log lines (and counts them), never the process. */
export class LogFile {
  readonly #file: string;
  readonly #maxBytes: number;
  #descriptor: number;
  #bytes: number;
  /** A full disk has taken only the beginning of the last line. */
  #isTorn = false;
  #lostLines = 0;
  #closed = false;

  constructor(file: string, maxBytes = DEFAULT_MAX_BYTES) {
    this.#file = file;
    this.#maxBytes = maxBytes;
    this.#descriptor = openSync(file, 'a', 0o600);
    this.#bytes = fstatSync(this.#descriptor).size;
  }

  /** One line or several. */
  write(lines: string): void {
    // The descriptor's number may be another file's by now.
    try {
      if (this.#closed) throw new Error('the log is closed');
      if (this.#bytes >= this.#maxBytes) this.#rotateIfPossible();
      const bytes = Buffer.from(this.#isTorn ? `\n${lines}` : lines);
      const written = writeSync(this.#descriptor, bytes);
      this.#bytes += written;
      if (written > 0) this.#isTorn = bytes[written - 1] !== NEWLINE;
      this.#lostLines += bytes.subarray(written).filter((byte) => byte === NEWLINE).length;
    } catch {
      // There is no place left to tell it but the counter, which the next status shows.
      this.#lostLines += lines.split('\n').length - 1;
    }
  }

  get lostLines(): number {
    return this.#lostLines;
  }

  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    closeSync(this.#descriptor);
  }

  /** Without a descriptor for the next file the present one goes on. */
  #rotateIfPossible(): void {
    try {
      this.#rotate();
    } catch (error) {
      // Tried again with the next line.
      if (!['EMFILE', 'ENFILE'].includes(systemErrorCode(error) ?? '')) throw error;
    }
  }

  #rotate(): void {
    // It may have been moved away by hand, or by a rotation that could not open the next file.
    if (existsSync(this.#file)) renameSync(this.#file, `${this.#file}.1`);
    const next = openSync(this.#file, 'a', 0o600);
    closeSync(this.#descriptor);
    this.#descriptor = next;
    this.#bytes = 0;
    this.#isTorn = false;
  }
}
