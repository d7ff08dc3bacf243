/**
 * What a follower that takes the whole output of a run has still to read: it lies in memory, behind the head of the log, and slows the
 * command while it is full, as a pipe does. Positions count the output bytes of both streams from the run's beginning.
 */
import { encodeFrame, MAX_FRAME_PAYLOAD_BYTES } from '../../protocol/frames.ts';
import type { Clock, Timer } from '../../shared/clock.ts';
import type { OutputType } from './block-store.ts';
import type { LivePiece } from './messages.ts';

/** A command that is so far ahead of its follower waits, bytes; it goes on at half of that. */
const AHEAD_BYTES = 2 * 1024 * 1024;
/** What was given out already and may be asked for again: more than can be under way to the follower when a connection breaks, bytes. */
const KEPT_BYTES = 8 * 1024 * 1024;
/** Changes between the streams that are remembered; a command that alternates byte by byte is slowed by them, too. */
const MAX_SEGMENTS = 64 * 1024;
/** Longest piece that is given out at once, bytes of output. */
const PIECE_BYTES = MAX_FRAME_PAYLOAD_BYTES;
/** Until somebody says otherwise, a follower may still come for so long, ms. */
export const FIRST_LEASE_MS = 90_000;

interface Segment {
  type: OutputType;
  /** Where it ends. */
  end: number;
}

interface LiveWindowOptions {
  clock: Clock;
  /** Called when the command need not wait any more. */
  onRoom(): void;
}

export class LiveWindow {
  readonly #options: LiveWindowOptions;
  #ring: Buffer | undefined;
  #segments: Segment[] = [];
  #start = 0;
  #end = 0;
  /** Everything before it was given out. */
  #taken = 0;
  #complete = false;
  #released = false;
  #lease: Timer;
  #waiting: { from: number; answer(piece: LivePiece): void } | undefined;
  #settling: { mostUnread: number; settled(): void } | undefined;

  constructor(options: LiveWindowOptions) {
    this.#options = options;
    this.#lease = this.#arm(FIRST_LEASE_MS);
  }

  /** Takes all output from that position on. False when the follower has gone by then. */
  open(position: number): boolean {
    if (this.#released) return false;
    this.#ring = Buffer.allocUnsafeSlow(AHEAD_BYTES + KEPT_BYTES);
    this.#start = position;
    this.#end = position;
    this.#taken = position;
    return true;
  }

  /** What the follower has not been given, bytes. */
  get unreadBytes(): number {
    return this.#end - this.#taken;
  }

  /** Whether the command shall wait. */
  get isFull(): boolean {
    return this.unreadBytes >= AHEAD_BYTES || (this.unreadBytes > 0 && this.#segments.length >= MAX_SEGMENTS);
  }

  /** Whether it may go on, having waited. */
  get hasRoom(): boolean {
    return this.unreadBytes <= AHEAD_BYTES / 2 && (this.unreadBytes === 0 || this.#segments.length < MAX_SEGMENTS);
  }

  push(type: OutputType, chunk: Buffer): void {
    const ring = this.#ring;
    if (ring === undefined || chunk.length === 0) return;
    for (let offset = 0; offset < chunk.length; ) {
      const at = this.#end % ring.length;
      const copied = chunk.copy(ring, at, offset, offset + Math.min(chunk.length - offset, ring.length - at));
      this.#end += copied;
      offset += copied;
    }
    const last = this.#segments.at(-1);
    if (last?.type === type) last.end = this.#end;
    else this.#segments.push({ type, end: this.#end });
    this.#start = Math.max(this.#start, this.#end - ring.length);
    this.#forgetSegments();
    this.#answer();
  }

  /**
   * Resolves with output from a position on, once there is some; null when it is not here (any more). A newer reader ends the wait of an
   * older one.
   */
  read(from: number): Promise<LivePiece> {
    this.#waiting?.answer(null);
    this.#waiting = undefined;
    if (this.#ring === undefined || from < this.#start || from > this.#end) return Promise.resolve(null);
    this.#taken = from;
    this.#onTaken();
    return new Promise((answer) => {
      this.#waiting = { from, answer };
      this.#answer();
    });
  }

  /** The follower is there, and counts as such for that long; with 0 it has gone for good. */
  attend(forMs: number): void {
    if (this.#released) return;
    this.#lease.cancel();
    if (forMs <= 0) this.release();
    else this.#lease = this.#arm(forMs);
  }

  /** Nothing will be added. */
  complete(): void {
    this.#complete = true;
    this.#answer();
  }

  /** Nobody takes this output any more: the command is not slowed. */
  release(): void {
    this.#released = true;
    this.#lease.cancel();
    this.#ring = undefined;
    this.#segments = [];
    this.#taken = this.#end;
    this.#waiting?.answer(null);
    this.#waiting = undefined;
    this.#onTaken();
  }

  /** Resolves when no more than that is unread. */
  settled(mostUnread: number): Promise<void> {
    return new Promise((resolve) => {
      this.#settling = { mostUnread, settled: resolve };
      this.#onTaken();
    });
  }

  #onTaken(): void {
    if (this.hasRoom) this.#options.onRoom();
    if (this.#settling !== undefined && this.unreadBytes <= this.#settling.mostUnread) this.#settling.settled();
  }

  #arm(forMs: number): Timer {
    return this.#options.clock.after(forMs, () => this.release(), { unref: true });
  }

  #answer(): void {
    const waiting = this.#waiting;
    if (waiting === undefined) return;
    if (waiting.from === this.#end && !this.#complete) return;
    this.#waiting = undefined;
    waiting.answer(waiting.from === this.#end ? { complete: true } : this.#pieceFrom(waiting.from));
  }

  #pieceFrom(from: number): LivePiece {
    const frames: Buffer[] = [];
    let at = from;
    for (const { type, end } of this.#segments) {
      if (end <= at) continue;
      const stop = Math.min(end, from + PIECE_BYTES);
      frames.push(encodeFrame(type, this.#bytes(at, stop)));
      at = stop;
      if (at === from + PIECE_BYTES) break;
    }
    return { frames: Buffer.concat(frames).toString('base64'), next: at };
  }

  #bytes(from: number, to: number): Buffer {
    const ring = this.#ring ?? Buffer.alloc(0);
    const at = from % ring.length;
    const first = ring.subarray(at, Math.min(ring.length, at + to - from));
    return first.length === to - from ? first : Buffer.concat([first, ring.subarray(0, to - from - first.length)]);
  }

  /** Of what is overwritten; and the older half, when there are too many and it was given out. */
  #forgetSegments(): void {
    const excess = this.#segments.length - MAX_SEGMENTS;
    if (excess <= 0) return;
    const half = this.#segments[MAX_SEGMENTS / 2]?.end ?? 0;
    this.#start = Math.max(this.#start, Math.min(half, this.#taken));
    this.#segments = this.#segments.filter(({ end }) => end > this.#start);
  }
}
