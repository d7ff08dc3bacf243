/** Turns a command's output into frames of its log: the beginning as it comes, the end once it has ended, and a gap between them. */
import { Socket } from 'node:net';
import { encodeFrame, FRAME_TYPE, MAX_FRAME_PAYLOAD_BYTES } from '../../protocol/frames.ts';
import type { Clock } from '../../shared/clock.ts';
import type { Logger } from '../../shared/logger.ts';
import { LiveWindow } from './live-window.ts';
import { LogWriter } from './log-writer.ts';
import type { OutputCounters, OutputPast, OutputType, StreamBytes } from './messages.ts';
import { add, subtract, total } from './messages.ts';
import { OutputTail } from './output-tail.ts';

/** Reading pauses when more than this waits for the disk, bytes, and resumes at a quarter of it. */
const MOST_PENDING_BYTES = 1024 * 1024;
const RESUME_BYTES = MOST_PENDING_BYTES / 4;
/** Room in the head for headers and frames without output, beyond as many bytes as there are of output. */
const HEAD_SLACK_BYTES = 16 * 1024;
/** While only the tail grows, the counters are reported at this interval, bytes. */
const NOTE_EVERY_BYTES = 8 * 1024 * 1024;

interface RunOutputOptions {
  logPath: string;
  past: OutputPast;
  /** Most that is kept, both streams together: half of it from the beginning, the rest from the end. */
  maxOutputBytes: number;
  /** A follower takes all of the output, including what is not kept. */
  whole: boolean;
  clock: Clock;
  /** Called after each write. */
  onWritten: () => void;
  /** Called now and then while output can be lost with this process, so that the counters aren't. */
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
  /** Undefined without a follower that takes all output. */
  readonly live: LiveWindow | undefined;
  readonly #written: StreamBytes;
  readonly #kept: StreamBytes;
  readonly #recorded: StreamBytes;
  /** The head is complete: everything else goes into the tail. */
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
    this.#recorded = { ...past.told };
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

  /** Why output within the limits was lost. */
  get error(): Error | undefined {
    return this.log.error ?? this.#tail.error ?? this.#tailError;
  }

  /** Spool space in use, bytes. */
  get spaceBytes(): number {
    return this.log.bytes + this.log.pendingBytes + this.#tail.spaceBytes;
  }

  /** Resolves when no process can write into the attached pipes any more, and undelivered live output is no more than the tail keeps. */
  async drained(): Promise<void> {
    await Promise.all(this.#closings);
    await this.live?.settled(this.#options.maxOutputBytes - this.#headBytes);
  }

  /** Whether the pipes have reached end of file. */
  get isDrained(): boolean {
    return this.#sockets.size === 0;
  }

  /** Starts reading; takes over the descriptors. */
  attach(stdoutFd: number, stderrFd: number): void {
    // What was lost with a previous shim was lost here.
    this.#recordGap(NOTHING, true);
    this.#follow(stdoutFd, FRAME_TYPE.stdout);
    this.#follow(stderrFd, FRAME_TYPE.stderr);
  }

  /** Closes the pipes, drained or not; keeps what was already read. */
  async stop(): Promise<void> {
    for (const socket of this.#sockets) {
      socket.pause();
      // What is in the stream's buffer is no longer in the pipe. `read` emits 'data'.
      while (socket.read() !== null);
      socket.destroy();
    }
    await Promise.all(this.#closings);
    this.live?.complete();
  }

  /** Completes the log except for its end frame, after {@link stop}. Never rejects: what cannot be kept is counted, see `error`. */
  async finish(): Promise<void> {
    await this.log.flush();
    try {
      for await (const { frames, ...bytes } of this.#tail.drain()) {
        this.#recordGap(add(this.#tail.counts, bytes));
        this.#append(frames, bytes);
        if (this.log.pendingBytes > MOST_PENDING_BYTES) await this.log.flush();
      }
      await this.#tail.close();
    } catch (error) {
      this.#tailError = error instanceof Error ? error : new Error(String(error));
    }
    this.#recordGap(NOTHING);
    await this.log.flush();
  }

  #follow(fd: number, type: OutputType): void {
    const socket = new Socket({ fd, readable: true, writable: false });
    this.#sockets.add(socket);
    socket.on('data', (chunk: Buffer) => this.#take(type, chunk));
    socket.on('error', (error) => this.#options.logger.warn({ err: error }, 'cannot read a pipe any more'));
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#closings.push(promise);
    socket.on('close', () => {
      this.#sockets.delete(socket);
      resolve();
    });
  }

  #take(type: OutputType, chunk: Buffer): void {
    this.#written[NAME[type]] += chunk.length;
    // A log that could not be written is a prefix without gaps: nothing is kept after the first loss.
    const rest = this.log.error === undefined ? this.#keep(type, chunk) : chunk;
    if (this.#inTail) this.live?.push(type, rest);
    if ((this.#pendingBytes > MOST_PENDING_BYTES || this.live?.isFull) && !this.#paused) {
      this.#paused = true;
      for (const socket of this.#sockets) socket.pause();
    }
  }

  /** Returns what is beyond the head. */
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

  /** Output that still fits into the head, bytes; its headers are limited, too. */
  get #headRoom(): number {
    const logRoom = 2 * this.#headBytes + HEAD_SLACK_BYTES - this.log.bytes - this.log.pendingBytes;
    return Math.max(0, Math.min(this.#headBytes - total(this.#kept), logRoom));
  }

  #append(frames: Buffer, bytes: StreamBytes): void {
    Object.assign(this.#kept, add(this.#kept, bytes));
    this.log.append(frames, () => Object.assign(this.#kept, subtract(this.#kept, bytes)));
  }

  /** Appends a gap for what is neither in the log nor among the bytes `toCome`, and not recorded yet. */
  #recordGap(toCome: StreamBytes, atLeast?: true): void {
    const gap = subtract(subtract(subtract(this.#written, this.#kept), this.#recorded), toCome);
    if (total(gap) <= 0 || this.log.error !== undefined) return;
    Object.assign(this.#recorded, add(this.#recorded, gap));
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
