/**
 * Output beyond the head of the log for a follower that takes all of a run's output. It is kept in memory, and slows the command while it
 * is full, as a pipe does. Positions count the output bytes of both streams since the run's start.
 */
import { encodeFrame, MAX_FRAME_PAYLOAD_BYTES } from '../../protocol/frames.ts';
import type { Clock, Timer } from '../../shared/clock.ts';
import type { LivePiece, OutputType } from './messages.ts';

/** A command this far ahead of its follower is paused, bytes; it resumes at half of that. */
const AHEAD_BYTES = 2 * 1024 * 1024;
/** Delivered output that may be requested again: more than can be in flight when a connection breaks, bytes. */
const KEPT_BYTES = 8 * 1024 * 1024;
/** Changes of stream that are remembered; they also pause a command that alternates byte by byte. */
const MAX_SEGMENTS = 64 * 1024;
/** How long a follower may take to come, unless told otherwise, ms. */
export const FIRST_LEASE_MS = 90_000;

interface LiveWindowOptions {
  clock: Clock;
  /** Called when the command may resume. */
  onRoom(): void;
}

export class LiveWindow {
  readonly #options: LiveWindowOptions;
  #ring: Buffer | undefined;
  /** Output of one stream up to `end`. */
  #segments: { type: OutputType; end: number }[] = [];
  #start = 0;
  #end = 0;
  /** Everything before it was delivered. */
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

  /** Accepts output from `position` on. False if the follower is already gone. */
  open(position: number): boolean {
    if (this.#released) return false;
    this.#ring = Buffer.allocUnsafeSlow(AHEAD_BYTES + KEPT_BYTES);
    this.#start = position;
    this.#end = position;
    this.#taken = position;
    return true;
  }

  /** Not yet delivered, bytes. */
  get unreadBytes(): number {
    return this.#end - this.#taken;
  }

  /** Whether the command must pause. */
  get isFull(): boolean {
    return this.unreadBytes >= AHEAD_BYTES || (this.unreadBytes > 0 && this.#segments.length >= MAX_SEGMENTS);
  }

  /** Whether a paused command may resume. */
  get hasRoom(): boolean {
    return this.unreadBytes <= AHEAD_BYTES / 2 && (this.unreadBytes === 0 || this.#segments.length < MAX_SEGMENTS);
  }

  push(type: OutputType, chunk: Buffer): void {
    const ring = this.#ring;
    if (ring === undefined || chunk.length === 0) return;
    for (let offset = 0; offset < chunk.length; ) {
      const copied = chunk.copy(ring, this.#end % ring.length, offset);
      this.#end += copied;
      offset += copied;
    }
    const last = this.#segments.at(-1);
    if (last?.type === type) last.end = this.#end;
    else this.#segments.push({ type, end: this.#end });
    this.#start = Math.max(this.#start, this.#end - ring.length);
    this.#dropSegments();
    this.#answer();
  }

  /** Resolves with output from `from` on, once there is some; with null if it isn't here. A newer reader ends the wait of an older one. */
  read(from: number): Promise<LivePiece> {
    this.#waiting?.answer(null);
    this.#waiting = undefined;
    if (this.#ring === undefined || from < this.#start || from > this.#end) return Promise.resolve(null);
    this.#taken = from;
    this.#onTaken();
    const { promise, resolve } = Promise.withResolvers<LivePiece>();
    this.#waiting = { from, answer: resolve };
    this.#answer();
    return promise;
  }

  /** Extends the follower's lease; 0 means that it is gone for good. */
  attend(forMs: number): void {
    if (this.#released) return;
    this.#lease.cancel();
    if (forMs <= 0) this.release();
    else this.#lease = this.#arm(forMs);
  }

  /** No more output follows. */
  complete(): void {
    this.#complete = true;
    this.#answer();
  }

  /** Without a follower, the command isn't slowed. */
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

  /** Resolves when at most `mostUnread` bytes are undelivered. */
  settled(mostUnread: number): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#settling = { mostUnread, settled: resolve };
    this.#onTaken();
    return promise;
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
    if (waiting === undefined || (waiting.from === this.#end && !this.#complete)) return;
    this.#waiting = undefined;
    waiting.answer(waiting.from === this.#end ? { complete: true } : this.#pieceFrom(waiting.from));
  }

  #pieceFrom(from: number): LivePiece {
    const limit = from + MAX_FRAME_PAYLOAD_BYTES;
    const frames: Buffer[] = [];
    let at = from;
    for (const { type, end } of this.#segments) {
      if (end <= at) continue;
      const stop = Math.min(end, limit);
      frames.push(encodeFrame(type, this.#bytes(at, stop)));
      at = stop;
      if (at === limit) break;
    }
    return { frames: Buffer.concat(frames).toString('base64'), next: at };
  }

  #bytes(from: number, to: number): Buffer {
    const ring = this.#ring ?? Buffer.alloc(0);
    const at = from % ring.length;
    const first = ring.subarray(at, Math.min(ring.length, at + to - from));
    return first.length === to - from ? first : Buffer.concat([first, ring.subarray(0, to - from - first.length)]);
  }

  /** When there are too many: overwritten ones, and the older half if it was delivered. */
  #dropSegments(): void {
    if (this.#segments.length <= MAX_SEGMENTS) return;
    const half = this.#segments[MAX_SEGMENTS / 2]?.end ?? 0;
    this.#start = Math.max(this.#start, Math.min(half, this.#taken));
    this.#segments = this.#segments.filter(({ end }) => end > this.#start);
  }
}
