/** What somebody sends to a command's stdin: it may begin before the command does, and may not end by accident. */
import { Socket } from 'node:net';
import { Writable } from 'node:stream';

type Done = (error?: Error | null) => void;

interface StdinPipeOptions {
  /** All was sent and has been written; called just before the command sees the end. */
  onComplete: () => void;
  /** The sender broke off: the command must not take what it has for all. */
  onLost: () => void;
}

export class StdinPipe extends Writable {
  readonly #options: StdinPipeOptions;
  #socket: Socket | undefined;
  #discarding = false;
  /** The one write or end that waits for the command to start. */
  #waiting: (() => void) | undefined;
  /** The write that the socket works on. */
  #writing: Done | undefined;

  constructor(options: StdinPipeOptions) {
    super({ highWaterMark: 64 * 1024 });
    this.#options = options;
    // `onLost` deals with a sender that broke off; that nobody else listens shall not end the process.
    this.on('error', () => {});
  }

  /** The command is there and reads from the FIFO whose writing end is `fd`, which is this object's to close. */
  attach(fd: number): void {
    const socket = new Socket({ fd, readable: false, writable: true });
    this.#socket = socket;
    // The usual one is EPIPE: nobody reads any more. A command need not read all of its stdin; the rest goes nowhere, as with ssh.
    socket.on('error', () => this.discard());
    this.#proceed();
  }

  /** Takes everything else that comes, and drops it: the command is gone or wants no more. Also closes the FIFO. */
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

  /** Leaves the FIFO open on purpose: its end would tell the command that this was all. `discard` closes it. */
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
