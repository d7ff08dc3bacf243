/** Turns what a command writes into frames of its log, as fast as the log takes them, and counts what is not kept. */
import { Socket } from 'node:net';
import { encodeFrame, FRAME_TYPE, MAX_FRAME_PAYLOAD_BYTES } from '../../protocol/frames.ts';
import type { Logger } from '../../shared/logger.ts';
import type { OutputCounters } from './journal-row.ts';
import { LogWriter } from './log-writer.ts';

/** Reading pauses when more than this waits for the disk, bytes, and goes on at a quarter of it. */
const MOST_PENDING_BYTES = 1024 * 1024;
const RESUME_BYTES = MOST_PENDING_BYTES / 4;

export interface RunOutputOptions {
  logPath: string;
  /** Length of the log so far, bytes. */
  logBytes: number;
  /** As of now; for a run that a former process began. */
  counters: OutputCounters;
  /** stdout and stderr together that are kept. */
  maxOutputBytes: number;
  logger: Logger;
}

export class RunOutput {
  readonly log: LogWriter;
  readonly #options: RunOutputOptions;
  readonly #counters: OutputCounters;
  readonly #sockets = new Set<Socket>();
  readonly #closings: Promise<void>[] = [];
  #paused = false;

  constructor(options: RunOutputOptions) {
    this.#options = options;
    this.#counters = { ...options.counters };
    this.log = new LogWriter({ path: options.logPath, bytes: options.logBytes, onWritten: () => this.#resume() });
  }

  get counters(): OutputCounters {
    return { ...this.#counters };
  }

  /** Resolves when the pipes attached so far have come to their end: nobody can write into them any more. */
  async drained(): Promise<void> {
    await Promise.all(this.#closings);
  }

  /** Whether that is so now. */
  get isDrained(): boolean {
    return this.#sockets.size === 0;
  }

  /** Reads both pipes from now on. The descriptors are this object's to close. */
  attach(stdoutFd: number, stderrFd: number): void {
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
  }

  #follow(fd: number, type: typeof FRAME_TYPE.stdout | typeof FRAME_TYPE.stderr): void {
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

  #take(type: typeof FRAME_TYPE.stdout | typeof FRAME_TYPE.stderr, chunk: Buffer): void {
    const { stdoutBytes, stderrBytes, droppedBytes } = this.#counters;
    // What is kept is the beginning, without gaps: after the first loss, for whatever reason, nothing more is.
    const room = droppedBytes > 0 ? 0 : Math.max(0, this.#options.maxOutputBytes - stdoutBytes - stderrBytes);
    const kept = chunk.subarray(0, room);
    this.#counters[type === FRAME_TYPE.stdout ? 'stdoutBytes' : 'stderrBytes'] += chunk.length;
    this.#counters.droppedBytes += chunk.length - kept.length;
    for (let offset = 0; offset < kept.length; offset += MAX_FRAME_PAYLOAD_BYTES) {
      const payload = kept.subarray(offset, offset + MAX_FRAME_PAYLOAD_BYTES);
      this.log.append(encodeFrame(type, payload), () => {
        this.#counters.droppedBytes += payload.length;
      });
    }
    if (this.log.pendingBytes > MOST_PENDING_BYTES && !this.#paused) {
      this.#paused = true;
      for (const socket of this.#sockets) socket.pause();
    }
  }

  #resume(): void {
    if (!this.#paused || this.log.pendingBytes > RESUME_BYTES) return;
    this.#paused = false;
    for (const socket of this.#sockets) socket.resume();
  }
}
