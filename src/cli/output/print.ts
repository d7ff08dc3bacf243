/** Prints results and errors: JSON for programs, text for people, and nothing that a terminal would obey. */
import { once } from 'node:events';
import type { Writable } from 'node:stream';
import { styleText } from 'node:util';
import type { NodeStatus } from '../../domain/states.ts';
import type { Clock } from '../../shared/clock.ts';
import { FleetError, systemErrorCode } from '../../shared/errors.ts';
import { harmlessJson, stripControl } from '../../shared/text.ts';
import { EXIT_OK } from './exit-code.ts';

interface PrintErrorOptions extends Printer {
  /** Show the stack trace with all causes. */
  debug: boolean;
}

export function printError(error: FleetError, { out, err, json, debug }: PrintErrorOptions): void {
  if (json) out.write(`${harmlessJson({ error })}\n`);
  else err.write(formatError(error));
  if (debug) err.write(`${describeStack(error)}\n`);
  else if (error.code === 'internal' && !json) err.write('This is a bug in fleet; --debug shows where.\n');
}

/** The message after `fleet: `, and the hint on its own line. Text from other machines cannot break out of its line. */
export function formatError({ message, hint }: { message: string; hint?: string | undefined }): string {
  const lines = [`fleet: ${message}`, ...(hint === undefined ? [] : [hint])];
  return lines.map((line) => `${stripControl(line.replace(/\s*\n\s*/g, ' '))}\n`).join('');
}

function describeStack(error: Error): string {
  const stack = error.stack ?? error.message;
  return error.cause instanceof Error ? `${stack}\ncaused by ${describeStack(error.cause)}` : stack;
}

/** What the commands print on. */
export interface Printer {
  out: OutputPort;
  err: OutputPort;
  /** --json */
  json: boolean;
}

/** A result: one JSON document, or its text for people. Returns the exit code, so that a command can end with it. */
export function printResult<T>(printer: Printer, value: T, toText: (value: T) => string): number {
  if (printer.json) printJson(printer, value);
  else printer.out.write(toText(value));
  return EXIT_OK;
}

/** A list: one JSON document, or a table; an empty one is a note on stderr. */
export function printList<T>(
  printer: Printer,
  list: readonly T[],
  emptyNote: string,
  toText: (list: readonly T[]) => string,
): number {
  if (printer.json || list.length > 0) return printResult(printer, list, toText);
  printer.err.write(`${emptyNote}\n`);
  return EXIT_OK;
}

/** Prints one JSON document. */
export function printJson({ out }: Pick<Printer, 'out'>, value: unknown): void {
  out.write(`${harmlessJson(value, out.isTerminal ? 2 : undefined)}\n`);
}

/** Prints a list as one JSON document, part by part: the whole may exceed the longest possible string. */
export async function printJsonList(
  { out }: Pick<Printer, 'out'>,
  parts: AsyncIterable<readonly unknown[]>,
): Promise<void> {
  const indent = out.isTerminal ? 2 : undefined;
  const [open, comma, close] = indent === undefined ? ['[', ',', ']\n'] : ['[\n', ',\n', '\n]\n'];
  let isEmpty = true;
  for await (const part of parts) {
    for (const item of part) {
      // Taken from a list of one item, for the same indentation.
      const text = harmlessJson([item], indent).slice(open.length, 1 - close.length);
      out.write(`${isEmpty ? open : comma}${text}`);
      isEmpty = false;
      await out.ready();
    }
  }
  out.write(isEmpty ? '[]\n' : close);
}

type Paint = (text: string) => string;

/** Colour for people, plain text for programs. no-color.org, bixense.com/clicolors. */
export type TerminalStyle = Readonly<Record<'bold' | 'dim' | 'red' | 'green' | 'yellow' | 'cyan', Paint>>;

interface TerminalFacts {
  isTTY: boolean;
  env: Readonly<Record<string, string | undefined>>;
}

/** NO_COLOR beats CLICOLOR_FORCE beats FORCE_COLOR beats whether the stream is a terminal. Empty counts as unset. */
export function wantsColor({ isTTY, env }: TerminalFacts): boolean {
  if (env.NO_COLOR) return false;
  if (env.CLICOLOR_FORCE && env.CLICOLOR_FORCE !== '0') return true;
  if (env.FORCE_COLOR) return env.FORCE_COLOR !== '0' && env.FORCE_COLOR !== 'false';
  return isTTY && env.TERM !== 'dumb' && env.CLICOLOR !== '0';
}

/** The style of one stream; without colour, every function returns its text unchanged. */
export function createTerminalStyle(facts: TerminalFacts): TerminalStyle {
  return wantsColor(facts) ? styleOf(paint) : plainStyle;
}

function styleOf(create: (format: keyof TerminalStyle) => Paint): TerminalStyle {
  const formats = ['bold', 'dim', 'red', 'green', 'yellow', 'cyan'] as const;
  return Object.fromEntries(formats.map((format) => [format, create(format)])) as TerminalStyle;
}

/** Painting nothing gives nothing. */
function paint(format: keyof TerminalStyle): Paint {
  return (text) => (text === '' ? '' : styleText(format, text, { validateStream: false }));
}

export const plainStyle: TerminalStyle = styleOf(() => (text) => text);

export function paintStatus(status: NodeStatus | 'revoked', style: TerminalStyle): { text: string; paint: Paint } {
  return { text: status, paint: style[STATUS_COLORS[status]] };
}

export const STATUS_COLORS = {
  online: 'green',
  limited: 'yellow',
  error: 'red',
  offline: 'red',
  revoked: 'dim',
} as const satisfies Record<NodeStatus | 'revoked', keyof TerminalStyle>;

/** Numbers as people read them: sizes, milliseconds, percentages, and series of them as a small chart. */
const UNITS = ['B', 'KiB', 'MiB', 'GiB', 'TiB', 'PiB', 'EiB'];

/** `1023 B`, `1.5 GiB`, `120 MiB`, in the binary units of IEC 80000-13: at most one decimal, and none from 100 on. */
export function formatBytes(bytes: number): string {
  let amount = bytes;
  let unit = 0;
  // Compare what will be printed, so that 1023.96 KiB becomes 1 MiB rather than 1024 KiB.
  while (round(amount) >= 1024 && unit < UNITS.length - 1) {
    amount /= 1024;
    unit += 1;
  }
  return `${round(amount)} ${UNITS[unit]}`;
}

function round(amount: number): number {
  return amount >= 100 ? Math.round(amount) : Math.round(amount * 10) / 10;
}

/** `4.2 ms`, `120 ms`; `none` for null. */
export function formatMs(ms: number | null, none = ''): string {
  return ms === null ? none : `${Math.abs(ms) < 10 ? ms.toFixed(1) : Math.round(ms)} ms`;
}

/** `42 %`; empty for null. */
export function formatPercent(value: number | null): string {
  return value === null ? '' : `${Math.round(value)} %`;
}

const LEVELS = '▁▂▃▄▅▆▇█';

/** One character a value, from 0 to `most`; a space where the value is unknown. */
export function sparkline(values: readonly (number | null)[], most: number): string {
  return values
    .map((value) => {
      if (value === null) return ' ';
      const share = most <= 0 || value <= 0 ? 0 : value >= most ? 1 : value / most;
      return LEVELS[Math.min(LEVELS.length - 1, Math.floor(share * LEVELS.length))] ?? ' ';
    })
    .join('');
}

/** A stream that may be a terminal, with its size. */
export type OutputStream = Writable & { isTTY?: boolean; columns?: number; rows?: number };

export interface OutputPort extends ByteSink {
  /** Drops data once the reader has gone. */
  write(data: Uint8Array | string): void;
  /** Resolves when the reader has caught up, or has gone. */
  ready(): Promise<void>;
  /** Resolves when everything is written, or the reader has gone. */
  flush(): Promise<void>;
  /** Drops what the reader has not taken by then. */
  giveUp(clock: Clock, afterMs: number): void;
  /** Aborts once writing is impossible. Its reason is a FleetError, or {@link READER_GONE} for a closed pipe. */
  readonly gone: AbortSignal;
  readonly isTerminal: boolean;
  /** In characters; undefined if it is not a terminal. */
  size(): { columns: number; rows: number } | undefined;
  /** Calls `listener` when the terminal is resized (SIGWINCH), until the returned function is called. */
  onResize(listener: () => void): () => void;
  readonly style: TerminalStyle;
}

/** The reader closed the pipe, as `head` does: not a failure. */
const READER_GONE = Symbol('reader gone');

export function openOutputPort(
  stream: OutputStream,
  name: string,
  env: Readonly<Record<string, string | undefined>>,
): OutputPort {
  const gone = new AbortController();
  const isTerminal = stream.isTTY === true;
  stream.on('error', (error) => {
    const code = systemErrorCode(error);
    if (code === 'EPIPE') return gone.abort(READER_GONE);
    gone.abort(new FleetError('storage_failed', `cannot write to ${name}: ${code ?? error.message}`, { cause: error }));
  });
  return {
    isTerminal,
    style: createTerminalStyle({ isTTY: isTerminal, env }),
    gone: gone.signal,
    // 0: the terminal's size was never set.
    size: () => (stream.columns && stream.rows ? { columns: stream.columns, rows: stream.rows } : undefined),
    onResize(listener) {
      stream.on('resize', listener);
      return () => void stream.off('resize', listener);
    },
    write(data) {
      if (!gone.signal.aborted && data.length > 0) stream.write(data);
    },
    async ready() {
      if (!stream.writableNeedDrain || gone.signal.aborted) return;
      await Promise.race([once(stream, 'drain'), aborted(gone.signal)]).catch(() => {
        // Stream errors are handled by the listener above.
      });
    },
    giveUp(clock, afterMs) {
      clock.after(afterMs, () => gone.abort(READER_GONE), { unref: true });
    },
    async flush() {
      if (gone.signal.aborted) return;
      await Promise.race([
        new Promise<void>((resolve) => void stream.write('', () => resolve())),
        aborted(gone.signal),
      ]);
    },
  };
}

function aborted(signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal.aborted) resolve();
    else signal.addEventListener('abort', () => resolve(), { once: true });
  });
}

export interface ByteSink {
  write(bytes: Uint8Array): void;
}

/** stdout and stderr of the CLI. */
export interface OutputSinks {
  stdout: ByteSink;
  stderr: ByteSink;
}

/** Which of a command's two outputs. */
export type StreamName = keyof OutputSinks;
