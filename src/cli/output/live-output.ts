/** The default output of a job on many nodes: whole lines as they arrive, each after the name of its node. */
import { decodeData } from '../../protocol/frames.ts';
import type { JobEvent } from '../../protocol/job-messages.ts';
import type { Clock, Timer } from '../../shared/clock.ts';
import { stripControl } from '../../shared/text.ts';
import { type JobOutput, unfinishedTailBytes } from './job-output.ts';
import type { ByteSink, OutputPort, StreamName } from './print.ts';

interface LiveOutputOptions {
  ports: Record<StreamName, OutputPort>;
  /** -N: lines without the name. */
  unlabeled: boolean;
  clock: Clock;
}

export class LiveOutput implements JobOutput {
  readonly #options: LiveOutputOptions;
  readonly #screens: Record<StreamName, LineScreen>;
  /** By run and stream, while it is open. */
  readonly #prefixers = new Map<string, LinePrefixer>();

  constructor(options: LiveOutputOptions) {
    this.#options = options;
    const { stdout, stderr } = options.ports;
    const screen = new LineScreen();
    const isShared = stdout.isTerminal && stderr.isTerminal;
    this.#screens = { stdout: screen, stderr: isShared ? screen : new LineScreen() };
  }

  handle(event: JobEvent): void {
    if (event.type === 'stdout' || event.type === 'stderr') {
      this.#prefixerOf(event.run, event.node, event.type).write(decodeData(event));
    } else if (event.type === 'gap' || event.type === 'end') {
      // Text before and after a gap must not look like one line.
      this.#end(event.run);
      if (event.type === 'gap') this.#makeRoom();
    }
  }

  /** Writes the unfinished lines of runs that are still in progress. */
  close(): void {
    for (const prefixer of this.#prefixers.values()) prefixer.end();
    this.#prefixers.clear();
  }

  #prefixerOf(run: string, node: string, stream: StreamName): LinePrefixer {
    const key = `${run} ${stream}`;
    const present = this.#prefixers.get(key);
    if (present !== undefined) return present;
    const { ports, unlabeled, clock } = this.#options;
    const { style } = ports[stream];
    const paint = stream === 'stderr' ? style.red : style.cyan;
    const label = unlabeled ? undefined : node;
    const created = new LinePrefixer({ label, paint, sink: ports[stream], screen: this.#screens[stream], clock });
    this.#prefixers.set(key, created);
    return created;
  }

  /** A note about the gap follows on stderr: it must not continue an unfinished line. */
  #makeRoom(): void {
    if (this.#screens.stderr.open !== undefined) this.#options.ports.stderr.write('\n');
    this.#screens.stderr.open = undefined;
  }

  #end(run: string): void {
    for (const stream of ['stdout', 'stderr']) {
      const key = `${run} ${stream}`;
      this.#prefixers.get(key)?.end();
      this.#prefixers.delete(key);
    }
  }
}

const LINE_FEED = 10;
const CARRIAGE_RETURN = 13;
const NEWLINE = Buffer.from('\n');

/** Longest line that is held back until its end, bytes. Each stream of each node can hold one. */
export const MAX_HELD_LINE_BYTES = 64 * 1024;
/** Delay before an unfinished line is shown, which may be a prompt, ms. */
const IDLE_FLUSH_MS = 300;

/** A place that several writers share. At most one of them has an unfinished line there. */
export class LineScreen {
  /** The writer whose line is unfinished. */
  open: LinePrefixer | undefined;
}

interface LinePrefixerOptions {
  /** The text before `: `; undefined (-N) for none. */
  label: string | undefined;
  paint?: (label: string) => string;
  sink: ByteSink;
  /** Shared with other writers to the same place. */
  screen?: LineScreen;
  /** Without it, an unfinished line waits for its end. */
  clock?: Clock;
}

/**
 * One stream of one node as lines, each in one `write` to the sink. A bare `\r` also ends a piece: progress bars write no line ends.
 *
 * Each piece starts with the label: also after a bare `\r`, because a terminal overwrites the line, and after another writer's line in the
 * middle of one. A line over {@link MAX_HELD_LINE_BYTES} is written in pieces: with a label, each on its own line; without one, as they
 * are. Nothing else is added, and no byte is lost, except a line end that another writer has already caused.
 */
export class LinePrefixer {
  readonly #prefix: Buffer;
  readonly #sink: ByteSink;
  readonly #screen: LineScreen;
  readonly #clock: Clock | undefined;
  #held: Buffer[] = [];
  #heldBytes = 0;
  /** The last piece: a whole line or nothing, a part of a line, or one that the next piece overwrites. */
  #written: 'line' | 'part' | 'overwritable' = 'line';
  #timer: Timer | undefined;

  constructor({ label, paint, sink, screen = new LineScreen(), clock }: LinePrefixerOptions) {
    const text = label === undefined ? '' : `${stripControl(label)}:`;
    this.#prefix = Buffer.from(text === '' ? '' : `${paint?.(text) ?? text} `);
    this.#sink = sink;
    this.#screen = screen;
    this.#clock = clock;
  }

  write(chunk: Uint8Array): void {
    const bytes = Buffer.from(chunk.buffer, chunk.byteOffset, chunk.byteLength);
    const out: Buffer[] = [];
    let start = 0;
    for (const end of pieceEnds(bytes)) {
      this.#hold(bytes.subarray(start, end), out);
      this.#put(this.#takeHeld(), out);
      start = end;
    }
    // Copied, so that a few held bytes do not keep a large chunk in memory.
    if (start < bytes.length) this.#hold(Buffer.from(bytes.subarray(start)), out);
    this.#send(out);
    if (this.#heldBytes > 0) this.#timer ??= this.#clock?.after(IDLE_FLUSH_MS, () => this.#flush(), { unref: true });
  }

  /** Ends an unfinished last line. */
  end(): void {
    const out: Buffer[] = [];
    this.#put(this.#takeHeld(), out);
    if (this.#written !== 'line') this.#put(NEWLINE, out);
    this.#send(out);
  }

  /** Shows an unfinished line, up to an unfinished character. */
  #flush(): void {
    const line = this.#takeHeld();
    const whole = line.length - unfinishedTailBytes(line);
    const out: Buffer[] = [];
    this.#put(line.subarray(0, whole), out);
    this.#send(out);
    if (whole < line.length) this.#hold(line.subarray(whole), out);
  }

  #hold(bytes: Buffer, out: Buffer[]): void {
    this.#held.push(bytes);
    this.#heldBytes += bytes.length;
    while (this.#heldBytes > MAX_HELD_LINE_BYTES) {
      const line = this.#takeHeld();
      const cut = pieceBytes(line);
      this.#put(line.subarray(0, cut), out);
      if (this.#prefix.length > 0) this.#put(NEWLINE, out);
      this.#held = [line.subarray(cut)];
      this.#heldBytes = line.length - cut;
    }
  }

  #takeHeld(): Buffer {
    this.#timer?.cancel();
    this.#timer = undefined;
    const line = this.#held.length === 1 && this.#held[0] !== undefined ? this.#held[0] : Buffer.concat(this.#held);
    this.#held = [];
    this.#heldBytes = 0;
    return line;
  }

  /** Adds a line, or any part of one, to `out`. */
  #put(piece: Buffer, out: Buffer[]): void {
    if (piece.length === 0) return;
    const screen = this.#screen;
    const goesOn = this.#written !== 'line';
    const isCut = goesOn && screen.open !== this;
    const isOnlyAnEnd = goesOn && piece.every((byte) => byte === LINE_FEED || byte === CARRIAGE_RETURN);
    const last = piece.at(-1);
    if (!(isCut && isOnlyAnEnd)) {
      if (screen.open !== undefined && screen.open !== this) out.push(NEWLINE);
      if (!goesOn || (!isOnlyAnEnd && (isCut || this.#written === 'overwritable'))) out.push(this.#prefix);
      out.push(piece);
      screen.open = last === LINE_FEED ? undefined : this;
    }
    this.#written = last === LINE_FEED ? 'line' : last === CARRIAGE_RETURN ? 'overwritable' : 'part';
  }

  #send(out: Buffer[]): void {
    if (out.length > 0) this.#sink.write(Buffer.concat(out));
  }
}

/** The offsets after each `\n`, and after each run of bare `\r`. */
function* pieceEnds(bytes: Buffer): Generator<number> {
  let lineFeed = -1;
  let carriageReturn = -1;
  for (let at = 0; ; ) {
    if (lineFeed < at) lineFeed = indexOrEnd(bytes, LINE_FEED, at);
    if (carriageReturn < at) carriageReturn = indexOrEnd(bytes, CARRIAGE_RETURN, at);
    at = Math.min(lineFeed, carriageReturn);
    if (at === bytes.length) return;
    while (bytes[at] === CARRIAGE_RETURN) at += 1;
    if (bytes[at] === LINE_FEED) at += 1;
    yield at;
  }
}

function indexOrEnd(bytes: Buffer, byte: number, from: number): number {
  const index = bytes.indexOf(byte, from);
  return index < 0 ? bytes.length : index;
}

/** The size of the next piece of a long line: cuts no character and no `\r\n`. */
function pieceBytes(line: Buffer): number {
  const piece = line.subarray(0, MAX_HELD_LINE_BYTES);
  const whole = piece.length - unfinishedTailBytes(piece);
  return line[whole - 1] === CARRIAGE_RETURN ? whole - 1 : whole;
}
