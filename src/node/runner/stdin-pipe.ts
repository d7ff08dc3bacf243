/** The client's input for a command: it may arrive before the command starts, and must not end by accident. */
import { Socket } from 'node:net';
import { Writable } from 'node:stream';

type Done = (error?: Error | null) => void;

interface StdinPipeOptions {
  /** All input is written; called just before the command sees the end. */
  onComplete: () => void;
  /** The sender broke off: the command must not mistake what it has for the whole. */
  onLost: () => void;
}

export class StdinPipe extends Writable {
  readonly #options: StdinPipeOptions;
  #socket: Socket | undefined;
  #discarding = false;
  /** The write or end that waits for the command to start. */
  #waiting: (() => void) | undefined;
  /** Callback of the write in progress. */
  #writing: Done | undefined;

  constructor(options: StdinPipeOptions) {
    super({ highWaterMark: 64 * 1024 });
    this.#options = options;
    // Handled by `onLost`; without a listener it would end the process.
    this.on('error', () => {});
  }

  /** The command has started. Takes over `fd`, the write end of its FIFO. */
  attach(fd: number): void {
    const socket = new Socket({ fd, readable: false, writable: true });
    this.#socket = socket;
    // Usually EPIPE. A command need not read all of its stdin; the rest is dropped, as with ssh.
    socket.on('error', () => this.discard());
    this.#proceed();
  }

  /** Drops all further input, because the command is gone or reads no more, and closes the FIFO. */
  discard(): void {
    this.#discarding = true;
    this.#socket?.destroy();
    this.#finishWrite();
    this.#proceed();
  }

  override _write(chunk: Buffer, _encoding: BufferEncoding, done: Done): void {
    this.#whenAttached(() => {
      if (this.#discarding) return done();
      this.#writing = done;
      this.#socket?.write(chunk, (error) => {
        if (!error) this.#finishWrite();
      });
    });
  }

  override _final(done: Done): void {
    this.#whenAttached(() => {
      if (!this.#discarding) this.#options.onComplete();
      this.discard();
      done();
    });
  }

  /** Leaves the FIFO open on purpose, since closing it signals the end of the input; `discard` closes it. */
  override _destroy(error: Error | null, done: Done): void {
    this.#waiting = undefined;
    if (!this.writableFinished && !this.#discarding) this.#options.onLost();
    done(error);
  }

  #whenAttached(action: () => void): void {
    if (this.#socket !== undefined || this.#discarding) action();
    else this.#waiting = action;
  }

  #proceed(): void {
    const waiting = this.#waiting;
    this.#waiting = undefined;
    waiting?.();
  }

  #finishWrite(): void {
    const done = this.#writing;
    this.#writing = undefined;
    done?.();
  }
}
