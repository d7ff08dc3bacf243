/** pino, set up once: JSON lines into a log file of bounded size, readable lines on stderr for people watching. */
import { closeSync, existsSync, fstatSync, openSync, renameSync, writeSync } from 'node:fs';
import pino, { symbols } from 'pino';
import { systemErrorCode } from './errors.ts';
import { boundLogLine, formatLogLine, type Logger } from './logger.ts';

/** At this size the file becomes `.1` and a new one is begun, bytes. */
const DEFAULT_MAX_BYTES = 10 * 1024 * 1024;
/** Fields that never reach a log, at the top or one level deeper. Not `code`: errors have one. */
const SECRET_FIELDS = ['token', 'inviteCode', 'secret', 'privateKey', 'authorization', 'env', 'ticket'];
/** pino's number for this level; from here on, lines are written at once. */
const WARN = 40;
const NEWLINE = 0x0a;

interface LogOptions {
  file: string;
  level: 'debug' | 'info' | 'warn' | 'error';
  /** Gets the readable copy. */
  console?: { write(text: string): unknown } | undefined;
}

export function openLog(options: LogOptions): { logger: Logger; close(): void } {
  const file = new LogFile(options.file);
  let waiting: string[] = [];
  const flush = (): void => {
    if (waiting.length === 0) return;
    const lines = waiting;
    waiting = [];
    file.write(lines.join(''));
    options.console?.write(lines.map(formatLogLine).join(''));
  };
  const destination = {
    // Makes pino set `lastLevel`.
    [symbols.needsMetadataGsym]: true as const,
    lastLevel: 0,
    write(line: string): void {
      // One system call for all lines of a tick: otherwise a busy gateway spends a tenth of each submission on its line.
      if (waiting.length === 0) setImmediate(flush);
      waiting.push(boundLogLine(line));
      if (destination.lastLevel >= WARN) flush();
    },
  };
  const logger = pino(
    {
      level: options.level,
      base: null,
      timestamp: pino.stdTimeFunctions.isoTime,
      formatters: { level: (label) => ({ level: label }) },
      redact: { paths: SECRET_FIELDS.flatMap((field) => [field, `*.${field}`]), censor: '[redacted]' },
    },
    destination,
  );
  const close = (): void => {
    flush();
    file.close();
  };
  return { logger, close };
}

/** A pino destination: one file and its predecessor. A full disk loses log lines, never the process. */
export class LogFile {
  readonly #file: string;
  readonly #maxBytes: number;
  #descriptor: number;
  #bytes: number;
  /** Whether a full disk took only the beginning of the last line. */
  #isTorn = false;
  #closed = false;

  constructor(file: string, maxBytes = DEFAULT_MAX_BYTES) {
    this.#file = file;
    this.#maxBytes = maxBytes;
    this.#descriptor = openSync(file, 'a', 0o600);
    this.#bytes = fstatSync(this.#descriptor).size;
  }

  /** One line or several; false when not all of it was written. */
  write(lines: string): boolean {
    // The descriptor's number may belong to another file by now.
    if (this.#closed) return false;
    try {
      if (this.#bytes >= this.#maxBytes) this.#rotate();
      const bytes = Buffer.from(this.#isTorn ? `\n${lines}` : lines);
      const written = writeSync(this.#descriptor, bytes);
      this.#bytes += written;
      if (written > 0) this.#isTorn = bytes[written - 1] !== NEWLINE;
      return written === bytes.length;
    } catch {
      return false;
    }
  }

  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    closeSync(this.#descriptor);
  }

  #rotate(): void {
    let next: number;
    try {
      // It may have been moved by hand, or by a rotation that could not open the next file.
      if (existsSync(this.#file)) renameSync(this.#file, `${this.#file}.1`);
      next = openSync(this.#file, 'a', 0o600);
    } catch (error) {
      // Without a descriptor for the next file, continue with this one until the next line.
      if (['EMFILE', 'ENFILE'].includes(systemErrorCode(error) ?? '')) return;
      throw error;
    }
    closeSync(this.#descriptor);
    this.#descriptor = next;
    this.#bytes = 0;
    this.#isTorn = false;
  }
}
