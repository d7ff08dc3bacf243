/** An error in at most three lines: what happened, to what, and what to do next. */
import type { FleetError } from '../shared/errors.ts';
import { harmlessJson, stripControl } from '../shared/strip-control.ts';
import type { OutputPort } from './output-port.ts';

export interface PrintErrorOptions {
  out: OutputPort;
  err: OutputPort;
  json: boolean;
  /** Show the stack, with all causes. */
  debug: boolean;
}

export function printError(error: FleetError, { out, err, json, debug }: PrintErrorOptions): void {
  if (json) out.write(`${harmlessJson({ error })}\n`);
  else err.write(formatError(error));
  if (debug) err.write(`${describeStack(error)}\n`);
  else if (error.code === 'internal' && !json) err.write('This is a defect in fleet; --debug shows where.\n');
}

/** The message behind `fleet: `, and the hint on its own line. What other machines sent cannot break out of its line. */
export function formatError({ message, hint }: Pick<FleetError, 'message' | 'hint'>): string {
  const lines = [`fleet: ${message}`, ...(hint === undefined ? [] : [hint])];
  return lines.map((line) => `${stripControl(line.replace(/\s*\n\s*/g, ' '))}\n`).join('');
}

function describeStack(error: Error): string {
  const stack = error.stack ?? error.message;
  return error.cause instanceof Error ? `${stack}\ncaused by ${describeStack(error.cause)}` : stack;
}
