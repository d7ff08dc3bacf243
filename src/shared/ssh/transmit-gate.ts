/** Back-pressure from the TCP socket to the channels of one SSH connection, which ssh2 leaves out: it ignores what `socket.write()` returns. */
import type { Ssh2Connection } from './ssh2-internals.ts';

/** So much may wait in any socket, bytes: its own high-water mark, so that one with more tells when it has drained. */
const FLOOR_BYTES = 64 * 1024;

export interface TransmitLimits {
  /** Of this connection alone. */
  transmitHighWaterBytes: number;
  /** Of all connections of its key. */
  keyTransmitBytes: number;
}

export class TransmitGate {
  readonly #connection: Ssh2Connection;
  readonly #limits: TransmitLimits;
  readonly #waitingOfKey: () => number;
  #waiting: (() => void)[] = [];

  /** @param waitingOfKey bytes that wait in the sockets of all connections of this key */
  constructor(connection: Ssh2Connection, limits: TransmitLimits, waitingOfKey: () => number) {
    this.#connection = connection;
    this.#limits = limits;
    this.#waitingOfKey = waitingOfKey;
  }

  /**
   * Whether a channel may write now: the socket has room, and no key exchange makes ssh2 queue packets without a bound. Connections of the
   * same key that are not read take nothing from this one but what is beyond the floor.
   */
  get isOpen(): boolean {
    const { _protocol, _sock } = this.#connection;
    const { transmitHighWaterBytes, keyTransmitBytes } = this.#limits;
    const waiting = _sock.writableLength;
    if (_protocol._kexinit !== undefined || waiting > transmitHighWaterBytes) return false;
    return waiting <= FLOOR_BYTES || this.#waitingOfKey() <= keyTransmitBytes;
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
