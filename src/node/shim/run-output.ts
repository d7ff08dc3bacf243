/**
 * Turns what a command writes into frames of its log, as fast as the log takes them: the beginning as it comes, the end once it is
 * the end, and between them a frame that says how much was not kept.
 */
import { Socket } from 'node:net';
import { encodeFrame, FRAME_TYPE, MAX_FRAME_PAYLOAD_BYTES } from '../../protocol/frames.ts';
import type { Clock } from '../../shared/clock.ts';
import type { Logger } from '../../shared/logger.ts';
import type { OutputType } from './block-store.ts';
import { LiveWindow } from './live-window.ts';
import { LogWriter } from './log-writer.ts';
import type { OutputCounters, OutputPast } from './messages.ts';
import { add, type StreamBytes, subtract, total } from './messages.ts';
import { OutputTail } from './output-tail.ts';

/** Reading pauses when more than this waits for the disk, bytes, and goes on at a quarter of it. */
const MOST_PENDING_BYTES = 1024 * 1024;
const RESUME_BYTES = MOST_PENDING_BYTES / 4;
/** Room in the head for headers and for frames without output, on top of as much as there is output, bytes. */
const HEAD_SLACK_BYTES = 16 * 1024;
/** While only the tail grows, the journal learns so often how much was written, bytes. */
const NOTE_EVERY_BYTES = 8 * 1024 * 1024;

interface RunOutputOptions {
  logPath: string;
  past: OutputPast;
  /** stdout and stderr together that are kept: half of it from the beginning, the rest from the end. */
  maxOutputBytes: number;
  /** Somebody takes all of the output, also what is not kept. */
  whole: boolean;
  clock: Clock;
  /** Called after each write. */
  onWritten: () => void;
  /** Called now and then while what is written can be lost with this process: the counters shall not be. */
  onUnsafe: (counters: OutputCounters) => void;
  logger: Logger;
}

const NOTHING: StreamBytes = { stdoutBytes: 0, stderrBytes: 0 };
const NAME = { [FRAME_TYPE.stdout]: 'stdoutBytes', [FRAME_TYPE.stderr]: 'stderrBytes' } as const;

export class RunOutput {
  readonly log: LogWriter;
  readonly #options: RunOutputOptions;
  readonly #headBytes: number;
  readonly #tail: OutputTail;
  /** Undefined unless somebody takes all of the output. */
  readonly live: LiveWindow | undefined;
  readonly #written: StreamBytes;
  readonly #kept: StreamBytes;
  readonly #told: StreamBytes;
  /** The head is complete: all that follows goes into the tail. */
  #inTail = false;
  #notedBytes = 0;
  #tailError: Error | undefined;
  readonly #sockets = new Set<Socket>();
  readonly #closings: Promise<void>[] = [];
  #paused = false;

  constructor(options: RunOutputOptions) {
    this.#options = options;
    const { logPath, past, maxOutputBytes } = options;
    this.#headBytes = Math.ceil(maxOutputBytes / 2);
    this.#written = { ...past.written };
    this.#kept = { ...past.kept };
    this.#told = { ...past.told };
    const onWritten = (): void => {
      this.#resume();
      options.onWritten();
    };
    this.log = new LogWriter({ path: logPath, bytes: past.logBytes, onWritten });
    this.#tail = new OutputTail({ path: `${logPath}.ring`, maxBytes: maxOutputBytes - this.#headBytes, onWritten });
    if (options.whole) this.live = new LiveWindow({ clock: options.clock, onRoom: () => this.#resume() });
  }

  get counters(): OutputCounters {
    const droppedBytes = total(this.#written) - total(this.#kept) - total(this.#tail.counts);
    return { ...this.#written, droppedBytes };
  }

  /** Why output was lost that was within the limits. */
  get error(): Error | undefined {
    return this.log.error ?? this.#tail.error ?? this.#tailError;
  }

  /** What it takes of the spool's room, bytes. */
  get spaceBytes(): number {
    return this.log.bytes + this.log.pendingBytes + this.#tail.spaceBytes;
  }

  /**
   * Resolves when the pipes attached so far have come to their end: nobody can write into them any more. What somebody still has to take
   * can be had from the log afterwards: it is no more than the tail.
   */
  async drained(): Promise<void> {
    await Promise.all(this.#closings);
    await this.live?.settled(this.#options.maxOutputBytes - this.#headBytes);
  }

  /** Whether that is so now. */
  get isDrained(): boolean {
    return this.#sockets.size === 0;
  }

  /** Reads both pipes from now on. The descriptors are this object's to close. */
  attach(stdoutFd: number, stderrFd: number): void {
    // What the end of a former shim has lost, was lost here.
    this.#tellGap(NOTHING, true);
    this.#follow(stdoutFd, FRAME_TYPE.stdout);
    this.#follow(stderrFd, FRAME_TYPE.stderr);
  }

  /** Keeps what was read already, and closes the pipes whether they are drained or not. Resolves when they are closed. */
  async stop(): Promise<void> {
    for (const socket of this.#sockets) {
      socket.pause();
      // What lies in the stream's own buffer is no longer in the pipe: nobody could read it later. `read` emits 'data'.
      while (socket.read() !== null);
      socket.destroy();
    }
    await Promise.all(this.#closings);
    this.live?.complete();
  }

  /** The pipes are closed: completes the log but for its end frame. Never rejects: what cannot be kept is counted, see `error`. */
  async finish(): Promise<void> {
    await this.log.flush();
    try {
      for await (const { frames, ...bytes } of this.#tail.drain()) {
        this.#tellGap(add(this.#tail.counts, bytes));
        this.#append(frames, bytes);
        if (this.log.pendingBytes > MOST_PENDING_BYTES) await this.log.flush();
      }
      await this.#tail.close();
    } catch (error) {
      this.#tailError = error instanceof Error ? error : new Error(String(error));
    }
    this.#tellGap(NOTHING);
    await this.log.flush();
  }

  #follow(fd: number, type: OutputType): void {
    const socket = new Socket({ fd, readable: true, writable: false });
    this.#sockets.add(socket);
    socket.on('data', (chunk: Buffer) => this.#take(type, chunk));
    socket.on('error', (error) => this.#options.logger.warn({ err: error }, 'cannot read on from a pipe'));
    this.#closings.push(
      new Promise((resolve) => {
        socket.on('close', () => {
          this.#sockets.delete(socket);
          resolve();
        });
      }),
    );
  }

  #take(type: OutputType, chunk: Buffer): void {
    this.#written[NAME[type]] += chunk.length;
    // A log that could not be written is a beginning without gaps: after the first loss nothing more is kept.
    const rest = this.log.error === undefined ? this.#keep(type, chunk) : chunk;
    if (this.#inTail) this.live?.push(type, rest);
    if ((this.#pendingBytes > MOST_PENDING_BYTES || this.live?.isFull) && !this.#paused) {
      this.#paused = true;
      for (const socket of this.#sockets) socket.pause();
    }
  }

  /** Returns what does not belong to the head. */
  #keep(type: OutputType, chunk: Buffer): Buffer {
    const head = this.#inTail ? chunk.subarray(0, 0) : chunk.subarray(0, this.#headRoom);
    for (let offset = 0; offset < head.length; offset += MAX_FRAME_PAYLOAD_BYTES) {
      const payload = head.subarray(offset, offset + MAX_FRAME_PAYLOAD_BYTES);
      this.#append(encodeFrame(type, payload), { ...NOTHING, [NAME[type]]: payload.length });
    }
    const rest = chunk.subarray(head.length);
    if (rest.length === 0) return rest;
    const writtenBytes = total(this.#written);
    if (!this.#inTail && this.live?.open(writtenBytes - rest.length)) {
      this.#append(encodeFrame(FRAME_TYPE.live, rest.subarray(0, 0)), NOTHING);
    }
    this.#inTail = true;
    this.#tail.push(type, rest);
    if (this.#notedBytes === 0 || writtenBytes - this.#notedBytes >= NOTE_EVERY_BYTES) {
      this.#notedBytes = writtenBytes;
      this.#options.onUnsafe(this.counters);
    }
    return rest;
  }

  /** Output that still goes to the beginning, bytes: both it and its headers are limited. */
  get #headRoom(): number {
    const logRoom = 2 * this.#headBytes + HEAD_SLACK_BYTES - this.log.bytes - this.log.pendingBytes;
    return Math.max(0, Math.min(this.#headBytes - total(this.#kept), logRoom));
  }

  #append(frames: Buffer, bytes: StreamBytes): void {
    Object.assign(this.#kept, add(this.#kept, bytes));
    this.log.append(frames, () => Object.assign(this.#kept, subtract(this.#kept, bytes)));
  }

  /** Says in the log what is neither in it nor among the bytes `toCome`, unless it says so already. */
  #tellGap(toCome: StreamBytes, atLeast?: true): void {
    const gap = subtract(subtract(subtract(this.#written, this.#kept), this.#told), toCome);
    if (total(gap) <= 0 || this.log.error !== undefined) return;
    Object.assign(this.#told, add(this.#told, gap));
    this.log.append(encodeFrame(FRAME_TYPE.gap, Buffer.from(JSON.stringify({ ...gap, atLeast }))), () => {});
  }

  get #pendingBytes(): number {
    return this.log.pendingBytes + this.#tail.pendingBytes;
  }

  #resume(): void {
    if (!this.#paused || this.#pendingBytes > RESUME_BYTES || this.live?.hasRoom === false) return;
    this.#paused = false;
    for (const socket of this.#sockets) socket.resume();
  }
}
