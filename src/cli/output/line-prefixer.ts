/** The default output of a broadcast: every line behind the name of its node, whole, whatever the chunk borders. */

import { stripControl } from '../../shared/strip-control.ts';
import type { ByteSink } from './byte-sink.ts';
import { unfinishedTailBytes } from './utf8-carry.ts';

const LINE_FEED = 10;
const CARRIAGE_RETURN = 13;
const NEWLINE = Buffer.from('\n');

/** Longest line that is held back for its end, bytes. Many nodes have one each, and two streams. */
export const MAX_HELD_LINE_BYTES = 64 * 1024;

export interface LinePrefixerOptions {
  /** What stands before `: `; undefined (-N) for nothing. */
  label: string | undefined;
  paint?: (label: string) => string;
  sink: ByteSink;
}

/**
 * One stream of one node as lines. Each `write` to the sink holds whole lines, so that those of many nodes do not mix.
 *
 * After a bare `\r` the label is written again, since a terminal goes on over it. A line over {@link MAX_HELD_LINE_BYTES} comes in
 * pieces: with a label each on a line of its own, without one just as they are. Otherwise nothing is added, and no byte is ever lost.
 */
export class LinePrefixer {
  readonly #prefix: Buffer;
  readonly #sink: ByteSink;
  #held: Buffer[] = [];
  #heldBytes = 0;

  constructor({ label, paint, sink }: LinePrefixerOptions) {
    const text = label === undefined ? '' : `${stripControl(label)}:`;
    this.#prefix = Buffer.from(text === '' ? '' : `${paint?.(text) ?? text} `);
    this.#sink = sink;
  }

  write(chunk: Uint8Array): void {
    const bytes = Buffer.from(chunk.buffer, chunk.byteOffset, chunk.byteLength);
    const out: Buffer[] = [];
    let start = 0;
    for (let end = bytes.indexOf(LINE_FEED); end >= 0; end = bytes.indexOf(LINE_FEED, start)) {
      this.#hold(bytes.subarray(start, end + 1), out);
      this.#putLine(this.#takeHeld(), out);
      start = end + 1;
    }
    // A copy, so that a few held bytes do not keep a large chunk alive.
    if (start < bytes.length) this.#hold(Buffer.from(bytes.subarray(start)), out);
    this.#send(out);
  }

  /** Writes a last line that has no newline, with one. */
  end(): void {
    if (this.#heldBytes === 0) return;
    const out: Buffer[] = [];
    this.#putLine(this.#takeHeld(), out);
    out.push(NEWLINE);
    this.#send(out);
  }

  #hold(bytes: Buffer, out: Buffer[]): void {
    this.#held.push(bytes);
    this.#heldBytes += bytes.length;
    while (this.#heldBytes > MAX_HELD_LINE_BYTES) {
      const line = this.#takeHeld();
      const cut = pieceBytes(line);
      this.#putLine(line.subarray(0, cut), out);
      if (this.#prefix.length > 0) out.push(NEWLINE);
      this.#held = [line.subarray(cut)];
      this.#heldBytes = line.length - cut;
    }
  }

  #takeHeld(): Buffer {
    const line = this.#held.length === 1 && this.#held[0] !== undefined ? this.#held[0] : Buffer.concat(this.#held);
    this.#held = [];
    this.#heldBytes = 0;
    return line;
  }

  #putLine(line: Buffer, out: Buffer[]): void {
    let start = 0;
    if (this.#prefix.length > 0) {
      for (let at = line.indexOf(CARRIAGE_RETURN); at >= 0; at = line.indexOf(CARRIAGE_RETURN, at + 1)) {
        const next = line[at + 1];
        if (next === undefined || next === LINE_FEED || next === CARRIAGE_RETURN) continue;
        out.push(this.#prefix, line.subarray(start, at + 1));
        start = at + 1;
      }
    }
    out.push(this.#prefix, line.subarray(start));
  }

  #send(out: Buffer[]): void {
    if (out.length > 0) this.#sink.write(Buffer.concat(out));
  }
}

/** How much of a long line goes out at once: no character and no `\r\n` is cut. */
function pieceBytes(line: Buffer): number {
  const piece = line.subarray(0, MAX_HELD_LINE_BYTES);
  const whole = piece.length - unfinishedTailBytes(piece);
  return line[whole - 1] === CARRIAGE_RETURN ? whole - 1 : whole;
}
