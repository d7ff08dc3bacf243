/** Back-pressure, which ssh2 lacks: what may wait here for a peer that does not read, and what a peer may send before we read it. */
import type { ChannelDirection, Guard, RawChannel, RawSession, Ssh2Connection } from './internals.ts';

/** Always allowed to wait in a socket, bytes: its own high-water mark, so that a socket with more emits 'drain'. */
const FLOOR_BYTES = 64 * 1024;
/** Largest window of one channel, bytes: 15 MB/s at a round trip of 100 ms. Below ssh2's own 2 MiB, at which it would stop its stream. */
const MOST_WINDOW_BYTES = 1.5 * 1024 * 1024;
/** Smallest, bytes: two packets. */
const LEAST_WINDOW_BYTES = 64 * 1024;

type FlowGuard = Pick<Guard<'limits'>, 'internals' | 'options' | 'ofKey'>;

/** Back-pressure from the TCP socket to the channels of a connection: ssh2 ignores what `socket.write()` returns. */
export class TransmitGate {
  readonly #guard: FlowGuard;
  #waiting: (() => void)[] = [];

  constructor(guard: FlowGuard) {
    this.#guard = guard;
  }

  /**
   * Whether a channel may write now: the socket has room, and no key exchange makes ssh2 queue packets without a bound. Unread
   * connections of the same key take nothing from this one but what exceeds the floor.
   */
  get isOpen(): boolean {
    const { internals, options } = this.#guard;
    const { transmitHighWaterBytes, keyTransmitBytes } = options.limits;
    const waiting = internals._sock.writableLength;
    if (internals._protocol._kexinit !== undefined || waiting > transmitHighWaterBytes) return false;
    return waiting <= FLOOR_BYTES || this.#guard.ofKey('waitingBytes') <= keyTransmitBytes;
  }

  /** Calls `resume` once the gate has opened, first come, first served; `resume` writes a bounded piece, and queues again for more. */
  wait(resume: () => void): void {
    this.#waiting.push(resume);
  }

  /** Call it when the socket has drained and when a key exchange has ended. */
  wake(): void {
    while (this.isOpen) {
      const resume = this.#waiting.shift();
      if (resume === undefined) return;
      resume();
    }
  }

  /** Drops the queue, at the end of the connection. */
  clear(): void {
    this.#waiting = [];
  }
}

/**
 * Windows of the channels that the peer opens: each gets a share of what may wait here for all channels of the key.
 *
 * ssh2 grants each channel 2 MiB at once and another MiB while nobody reads it. So its grants are dropped, and ours are sent when a reader
 * has taken what came: unread and granted bytes together never exceed the share.
 */
export class ReceiveWindows {
  readonly #guard: FlowGuard;
  readonly #adjust: (remote: number, bytes: number) => void;
  /** By the peer's number of the channel. */
  readonly #channels = new Map<number, ChannelDirection>();

  constructor(guard: FlowGuard) {
    const { _protocol } = guard.internals;
    this.#guard = guard;
    this.#adjust = _protocol.channelWindowAdjust.bind(_protocol);
  }

  install(): void {
    const { _protocol, _chanMgr } = this.#guard.internals;
    const confirm = _protocol.channelOpenConfirm.bind(_protocol);
    _protocol.channelOpenConfirm = (remote, local, _window, packetSize) => {
      const opened = _chanMgr.get(local) as RawChannel | RawSession;
      const { incoming } = 'incoming' in opened ? opened : opened._chanInfo;
      incoming.window = this.#share();
      this.#channels.set(remote, incoming);
      confirm(remote, local, incoming.window, packetSize);
    };
    _protocol.channelWindowAdjust = (remote, bytes) => {
      const incoming = this.#channels.get(remote);
      if (incoming === undefined) this.#adjust(remote, bytes);
      // ssh2 has already counted them.
      else incoming.window -= bytes;
    };
  }

  /** Call it when a reader wants more of this channel. */
  grant({ incoming, outgoing, readableLength }: RawChannel): void {
    if (this.#channels.get(outgoing.id) !== incoming || incoming.state !== 'open' || outgoing.state === 'closed')
      return;
    const share = this.#share();
    const bytes = share - incoming.window - readableLength;
    if (bytes < share / 2) return;
    incoming.window += bytes;
    this.#adjust(outgoing.id, bytes);
  }

  forget({ incoming, outgoing }: { incoming: ChannelDirection; outgoing: ChannelDirection }): void {
    if (this.#channels.get(outgoing.id) === incoming) this.#channels.delete(outgoing.id);
  }

  /** Bytes that one channel may have now. */
  #share(): number {
    const share = Math.floor(this.#guard.options.limits.keyReceiveBytes / this.#guard.ofKey('channelCount'));
    return Math.min(MOST_WINDOW_BYTES, Math.max(LEAST_WINDOW_BYTES, share));
  }
}

/**
 * Makes one system call, and with TCP_NODELAY one segment, of all that ssh2 writes in a tick: without its native module it writes each
 * packet in three pieces. Takes effect with the ciphers of the next key exchange.
 */
export function coalesceWrites({ _protocol, _sock }: Ssh2Connection): void {
  const write = _protocol._onWrite;
  let isCorked = false;
  _protocol._onWrite = (data) => {
    if (!isCorked) {
      isCorked = true;
      _sock.cork();
      process.nextTick(() => {
        isCorked = false;
        _sock.uncork();
      });
    }
    write(data);
  };
}
