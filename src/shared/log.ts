/** pino, set up once: JSON lines into the home's log file, one readable line an event on stderr for whoever watches. */
import pino from 'pino';
import { LogFile } from './log-file.ts';
import { formatLogLine } from './log-line.ts';
import type { Logger } from './logger.ts';

export interface LogOptions {
  file: string;
  level: 'debug' | 'info' | 'warn' | 'error';
  /** Where the readable copy goes; undefined for none. */
  console?: { write(text: string): unknown } | undefined;
}

/** Fields that never reach a log, among the facts or one level deeper. `code` is none of them: it is the code of an error. */
const SECRET_FIELDS = ['token', 'inviteCode', 'secret', 'privateKey', 'authorization', 'env', 'ticket'];

export interface OpenLog {
  logger: Logger;
  close(): void;
}

export function openLog(options: LogOptions): OpenLog {
  const file = new LogFile(options.file);
  const destination = {
    write(line: string): void {
      file.write(line);
      options.console?.write(formatLogLine(line));
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
  return { logger, close: () => file.close() };
}
