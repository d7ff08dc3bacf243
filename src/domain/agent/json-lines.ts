/** Cuts an agent's output into JSON records, and keeps what is none as text: a program's stray line must not be lost. */

import { isTooDeep } from '../../shared/text.ts';

/** Longer lines count as text, so that a program without newlines cannot exhaust memory; UTF-16 units. */
const MAX_LINE_LENGTH = 4 * 1024 * 1024;

export type JsonRecord = Readonly<Record<string, unknown>>;

export type JsonLine =
  | { kind: 'record'; record: JsonRecord; line: string }
  /** With its newline, if it had one. */
  | { kind: 'text'; text: string };

export class JsonLines {
  readonly #maxLineLength: number;
  #pending = '';
  /** The beginning of this line was given out as text already. */
  #overlong = false;

  constructor(maxLineLength: number = MAX_LINE_LENGTH) {
    this.#maxLineLength = maxLineLength;
  }

  push(text: string): JsonLine[] {
    const lines: JsonLine[] = [];
    const pieces = text.split('\n');
    const rest = pieces.pop() ?? '';
    for (const piece of pieces) {
      this.#pending += piece;
      lines.push(...this.#line('\n'));
    }
    this.#pending += rest;
    if (this.#overlong || this.#pending.length > this.#maxLineLength) {
      if (this.#pending !== '') lines.push({ kind: 'text', text: this.#pending });
      this.#overlong = true;
      this.#pending = '';
    }
    return lines;
  }

  /** The last line, if it has no newline. */
  finish(): JsonLine[] {
    return this.#pending === '' ? [] : this.#line('');
  }

  #line(newline: string): JsonLine[] {
    const line = this.#pending;
    const whole = !this.#overlong && line.length <= this.#maxLineLength;
    this.#pending = '';
    this.#overlong = false;
    if (whole && line.trim() === '') return [];
    const record = whole ? parseRecord(line) : undefined;
    return [record === undefined ? { kind: 'text', text: line + newline } : { kind: 'record', record, line }];
  }
}

/** Undefined unless it is a JSON object that can be written again. */
function parseRecord(line: string): JsonRecord | undefined {
  if (!line.trimStart().startsWith('{')) return undefined;
  try {
    const value: unknown = JSON.parse(line);
    return isTooDeep(value) ? undefined : asRecord(value);
  } catch {
    // A line of text that happens to begin with a brace.
    return undefined;
  }
}

export function asRecord(value: unknown): JsonRecord | undefined {
  return typeof value === 'object' && value !== null && !Array.isArray(value) ? (value as JsonRecord) : undefined;
}

export function asText(value: unknown): string | null {
  return typeof value === 'string' ? value : null;
}
