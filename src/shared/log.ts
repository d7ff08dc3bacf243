/** pino, set up once: JSON lines into the home's log file, one readable line an event on stderr for whoever watches. */
import pino, { symbols } from 'pino';
import { LogFile } from './log-file.ts';
import { boundLogLine, formatLogLine } from './log-line.ts';
import type { Logger } from './logger.ts';

export interface LogOptions {
  file: string;
  level: 'debug' | 'info' | 'warn' | 'error';
  /** Where the readable copy goes; undefined for none. */
  console?: { write(text: string): unknown } | undefined;
}

/** Fields that never reach a log, among the facts or one level deeper. `code` is none of them: it is the code of an error. */
const SECRET_FIELDS = ['token', 'inviteCode', 'secret', 'privateKey', 'authorization', 'env', 'ticket'];

/** pino's number of it; what is at least as bad is in the file at once. */
const WARN = 40;

export interface OpenLog {
  logger: Logger;
  close(): void;
}

export function openLog(options: LogOptions): OpenLog {
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
      // One system call for all lines of a tick: a busy gateway spends a tenth of a submission on its line otherwise.
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
