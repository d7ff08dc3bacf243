/** Prints the end of a log file, and follows it through rotation (FILE becomes FILE.1, and a new FILE starts). */
import { closeSync, fstatSync, openSync, readFileSync, readSync, statSync } from 'node:fs';
import { type Clock, sleep } from '../../shared/clock.ts';
import { FleetError, systemErrorCode } from '../../shared/errors.ts';
import { formatLogLine } from '../../shared/logger.ts';
import { readIfExists } from '../../shared/read-file.ts';
import { escapeJson } from '../../shared/text.ts';
import { parseCount } from '../args/values.ts';
import type { CliContext, OptionTable, OptionValues } from '../context/command.ts';
import { EXIT_OK } from '../output/exit-code.ts';

const POLL_INTERVAL_MS = 200;
const CHUNK_BYTES = 64 * 1024;
const LINE_FEED = 10;

/** A place between two lines. */
interface LogPosition {
  inode: number;
  offset: number;
}

/** The last `count` whole lines of the file, and of its predecessor if it has fewer; and where they end. @throws FleetError `not_found`, `storage_failed`. */
export function readLastLines(file: string, count: number): { lines: string[]; end: LogPosition } {
  const descriptor = openLog(file);
  if (descriptor === undefined) {
    throw new FleetError('not_found', `there is no log yet: ${file}`, { hint: 'It is created at the first start.' });
  }
  try {
    // Read as a whole: a log is rotated at 10 MiB.
    const bytes = readFileSync(descriptor);
    const end = { inode: fstatSync(descriptor).ino, offset: bytes.lastIndexOf(LINE_FEED) + 1 };
    const latest = wholeLines(bytes.toString('utf8', 0, end.offset));
    const lines = latest.length < count ? [...wholeLines(readIfExists(`${file}.1`) ?? ''), ...latest] : latest;
    return { lines: lines.slice(Math.max(0, lines.length - count)), end };
  } finally {
    closeSync(descriptor);
  }
}

/** Without an unfinished line at the end. */
function wholeLines(text: string): string[] {
  return text.split('\n').slice(0, -1);
}

/** Every whole line after `start`, until `signal` aborts. */
export async function* followLines(
  file: string,
  start: LogPosition,
  clock: Clock,
  signal: AbortSignal,
): AsyncGenerator<string> {
  let descriptor = openLog(file);
  if (descriptor !== undefined && fstatSync(descriptor).ino !== start.inode) {
    closeSync(descriptor);
    descriptor = openLog(`${file}.1`);
  }
  let position = start.offset;
  let pending = Buffer.alloc(0);
  try {
    while (!signal.aborted) {
      // Checked before the read, so that the last lines of the old file are not missed.
      const isRotated = descriptor === undefined || !isSameFile(descriptor, file);
      if (descriptor !== undefined) {
        for (let chunk = read(descriptor, position); chunk.length > 0; chunk = read(descriptor, position)) {
          position += chunk.length;
          pending = Buffer.concat([pending, chunk]);
          const end = pending.lastIndexOf(LINE_FEED);
          if (end < 0) continue;
          yield* pending.toString('utf8', 0, end).split('\n');
          pending = pending.subarray(end + 1);
        }
      }
      if (isRotated) {
        if (descriptor !== undefined) closeSync(descriptor);
        descriptor = openLog(file);
        position = 0;
        pending = Buffer.alloc(0);
        if (descriptor !== undefined) continue;
      }
      await sleep(clock, POLL_INTERVAL_MS, signal);
    }
  } finally {
    if (descriptor !== undefined) closeSync(descriptor);
  }
}

function openLog(file: string): number | undefined {
  try {
    return openSync(file, 'r');
  } catch (error) {
    if (systemErrorCode(error) === 'ENOENT') return undefined;
    throw new FleetError('storage_failed', `cannot read ${file}: ${systemErrorCode(error) ?? error}`, { cause: error });
  }
}

function isSameFile(descriptor: number, file: string): boolean {
  const stats = statSync(file, { throwIfNoEntry: false });
  // Between the rename and the new file there is none; then the old one still counts.
  return stats === undefined || stats.ino === fstatSync(descriptor).ino;
}

function read(descriptor: number, position: number): Buffer {
  const buffer = Buffer.alloc(CHUNK_BYTES);
  return buffer.subarray(0, readSync(descriptor, buffer, 0, CHUNK_BYTES, position));
}

const DEFAULT_LINES = 50;

export const LOG_OPTIONS = {
  follow: { type: 'boolean', alias: 'f', describe: 'Follow the log until Ctrl-C' },
  lines: { type: 'string', alias: 'n', placeholder: 'N', describe: 'Number of lines from the end (50)' },
  jsonl: { type: 'boolean', describe: 'Print the raw JSON lines; same as --json' },
} as const satisfies OptionTable;

export async function showLog(
  context: CliContext,
  file: string,
  options: OptionValues<typeof LOG_OPTIONS>,
): Promise<number> {
  const count = options.lines === undefined ? DEFAULT_LINES : parseCount(options.lines, '--lines');
  const isRaw = context.json || options.jsonl;
  const print = (line: string): void => context.out.write(isRaw ? `${escapeJson(line)}\n` : formatLogLine(line));
  const { lines, end } = readLastLines(file, count);
  for (const line of lines) print(line);
  if (!options.follow) return EXIT_OK;
  for await (const line of followLines(file, end, context.clock, context.out.gone)) {
    print(line);
    await context.out.ready();
  }
  return EXIT_OK;
}
