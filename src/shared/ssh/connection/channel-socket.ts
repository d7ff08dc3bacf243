/**
 * An SSH channel as the socket that node:http expects.
 *
 * ssh2's own channel stream closes both directions when one ends, ignores the socket's back-pressure, never emits 'close' for an abandoned
 * reader, and its `destroy()` does not destroy. So it serves here only as a pair of pipes with a window, and this stream has the life
 * cycle of a net.Socket.
 */
import { Duplex } from 'node:stream';
import type { Clock, Timer } from '../../clock.ts';
import { FleetError } from '../../errors.ts';
import type { TransmitGate } from '../patches/flow-control.ts';
import type { RawChannel } from '../patches/internals.ts';

/** Most that a channel writes before others get their turn. */
const SLICE_BYTES = 128 * 1024;
/** Buffered here in each direction, on top of SSH's own window. */
const HIGH_WATER_BYTES = 64 * 1024;

type WriteCallback = (error?: Error | null) => void;

interface ChannelSocketOptions {
  gate: TransmitGate;
  clock: Clock;
  /** As in node:net: true for the accepting side; the opening side stops writing when the other side does. */
  allowHalfOpen: boolean;
  /** The reader wants more. */
  onRead: () => void;
}

export class ChannelSocket extends Duplex {
  /** As in net.Socket: ms, undefined when never set. */
  timeout: number | undefined;
  readonly #raw: RawChannel;
  readonly #gate: TransmitGate;
  readonly #onRead: () => void;
  readonly #clock: Clock;
  #idle: Timer | undefined;
  /** Callback of the write that ssh2 or the gate holds back. */
  #pending: WriteCallback | undefined;

  constructor(raw: RawChannel, { gate, clock, allowHalfOpen, onRead }: ChannelSocketOptions) {
    super({ allowHalfOpen, highWaterMark: HIGH_WATER_BYTES });
    this.#raw = raw;
    this.#gate = gate;
    this.#onRead = onRead;
    this.#clock = clock;
    // A channel that fails without a listener must not end the process; 'close' still informs all who wait.
    this.on('error', () => {});
    raw.on('error', (error: Error) => this.destroy(error));
    raw.stderr.on('error', (error: Error) => this.destroy(error));
    raw.on('data', (chunk: Buffer) => this.#receive(chunk));
    raw.on('end', () => void (this.destroyed || this.push(null)));
    raw.on('close', () => this.#onPeerClosed());
  }

  /** The connection under this channel is gone. What the peer had finished sending can still be read; anything else fails. */
  connectionLost(): void {
    if (this.#raw.incoming.state !== 'closed') {
      this.destroy(new FleetError('connection_lost', 'the SSH connection ended'));
    }
  }

  /** As in net.Socket: emits 'timeout' after `timeoutMs` without traffic, and leaves the reaction to the listener. 0 turns it off. */
  setTimeout(timeoutMs: number, callback?: () => void): this {
    this.timeout = timeoutMs;
    this.#idle?.cancel();
    this.#idle = timeoutMs > 0 ? this.#clock.after(timeoutMs, () => this.emit('timeout'), { unref: true }) : undefined;
    if (callback !== undefined && timeoutMs > 0) this.once('timeout', callback);
    else if (callback !== undefined) this.removeListener('timeout', callback);
    return this;
  }

  /** As in net.Socket: destroys once everything written is on its way. */
  destroySoon(): void {
    if (this.writable) this.end();
    if (this.writableFinished) this.destroy();
    else this.once('finish', () => this.destroy());
  }

  // node:http calls these on every socket; here the TCP connection has them for all its channels.
  setNoDelay(): this {
    return this;
  }
  setKeepAlive(): this {
    return this;
  }
  ref(): this {
    return this;
  }
  unref(): this {
    return this;
  }

  override _read(): void {
    this.#raw.resume();
    this.#onRead();
  }

  override _write(chunk: Buffer, _encoding: BufferEncoding, callback: WriteCallback): void {
    this.#pending = callback;
    this.#transmit(chunk, callback);
  }

  /** Joins what node:http wrote in pieces (header, body) into one packet. */
  override _writev(chunks: { chunk: Buffer }[], callback: WriteCallback): void {
    this.#pending = callback;
    this.#transmit(Buffer.concat(chunks.map(({ chunk }) => chunk)), callback);
  }

  override _final(callback: WriteCallback): void {
    this.#raw.eof();
    callback();
  }

  override _destroy(error: Error | null, callback: WriteCallback): void {
    this.#idle?.cancel();
    this.#idle = undefined;
    // Reading on would grant the peer more window after our CLOSE, which is a fatal error to dropbear.
    this.#raw.pause();
    this.#raw.close();
    callback(error);
    this.#finishWrite(this.#pending, error ?? peerClosed());
  }

  #receive(chunk: Buffer): void {
    if (this.destroyed) return;
    this.#idle?.refresh();
    if (!this.push(chunk)) this.#raw.pause();
  }

  #onPeerClosed(): void {
    if (this.#pending !== undefined) this.#finishWrite(this.#pending, peerClosed());
    else if (this.readableEnded) this.destroy();
    else this.once('end', () => this.destroy());
  }

  #transmit(data: Buffer, callback: WriteCallback): void {
    // Failed while it waited.
    if (this.#pending !== callback) return;
    if (this.#raw.outgoing.state !== 'open') {
      this.#finishWrite(callback, peerClosed());
      return;
    }
    if (!this.#gate.isOpen) {
      this.#gate.wait(() => this.#transmit(data, callback));
      return;
    }
    this.#idle?.refresh();
    this.#raw.write(data.subarray(0, SLICE_BYTES), (error) => {
      if (error || data.length <= SLICE_BYTES) this.#finishWrite(callback, error);
      else this.#transmit(data.subarray(SLICE_BYTES), callback);
    });
  }

  /** Completes the pending write, once: its channel may close before ssh2 calls back. */
  #finishWrite(callback: WriteCallback | undefined, error?: Error | null): void {
    if (callback === undefined || this.#pending !== callback) return;
    this.#pending = undefined;
    callback(error);
  }
}

function peerClosed(): FleetError {
  return new FleetError('connection_lost', 'the other side closed the channel');
}
