/** Prints results and errors: JSON for programs, text for people, and nothing that a terminal would obey. */
import type { FleetError } from '../../shared/errors.ts';
import { harmlessJson, stripControl } from '../../shared/text.ts';
import { EXIT_OK } from './exit-code.ts';
import type { OutputPort } from './output-port.ts';

export interface PrintErrorOptions extends Printer {
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
export function formatError({ message, hint }: Pick<FleetError, 'message' | 'hint'>): string {
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
