/** Back-pressure from the TCP socket to the channels of one SSH connection, which ssh2 leaves out: it ignores what `socket.write()` returns. */
import type { Ssh2Connection } from './ssh2-internals.ts';

export class TransmitGate {
  readonly #connection: Ssh2Connection;
  readonly #highWaterBytes: number;
  #waiting: (() => void)[] = [];

  constructor(connection: Ssh2Connection, highWaterBytes: number) {
    this.#connection = connection;
    this.#highWaterBytes = highWaterBytes;
  }

  /** Whether a channel may write now: the socket has room, and no key exchange makes ssh2 queue packets without a bound. */
  get isOpen(): boolean {
    const { _protocol, _sock } = this.#connection;
    return _protocol._kexinit === undefined && _sock.writableLength <= this.#highWaterBytes;
  }

  /** Calls `resume` once the gate has opened. First come, first served; `resume` writes a bounded piece and, for more, queues again. */
  wait(resume: () => void): void {
    this.#waiting.push(resume);
  }

  /** To be called when the socket has drained and when a key exchange is over. */
  wake(): void {
    while (this.isOpen) {
      const resume = this.#waiting.shift();
      if (resume === undefined) return;
      resume();
    }
  }

  /** Forgets those who wait, for the end of the connection. */
  clear(): void {
    this.#waiting = [];
  }
}
