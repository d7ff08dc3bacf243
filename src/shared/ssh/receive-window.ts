/**
 * What a peer may send on the channels that it opens before it is read: a share of what may wait here for all of them.
 *
 * ssh2 grants each channel 2 MiB at once and another MiB while nobody reads it. So its grants on these channels are dropped, and ours are
 * sent when a reader has taken what came: unread and granted bytes together never exceed the share.
 */
import type { RawChannel, Ssh2Connection } from './ssh2-internals.ts';

/** Largest window of one channel, bytes: 15 MB/s at a round trip of 100 ms. Below ssh2's own 2 MiB, at which it would stop its stream. */
const MOST_WINDOW_BYTES = 1.5 * 1024 * 1024;
/** Smallest, bytes: two packets. */
const LEAST_WINDOW_BYTES = 64 * 1024;

export class ReceiveWindows {
  readonly #connection: Ssh2Connection;
  readonly #share: () => number;
  readonly #adjust: (remote: number, bytes: number) => void;
  /** Channels that the peer has opened, by its own number for them. */
  readonly #channels = new Map<number, RawChannel>();

  /** @param share bytes that one channel may have now */
  constructor(connection: Ssh2Connection, share: () => number) {
    this.#connection = connection;
    this.#share = () => Math.min(MOST_WINDOW_BYTES, Math.max(LEAST_WINDOW_BYTES, Math.floor(share())));
    this.#adjust = connection._protocol.channelWindowAdjust.bind(connection._protocol);
  }

  install(): void {
    const { _protocol, _chanMgr } = this.#connection;
    const confirm = _protocol.channelOpenConfirm.bind(_protocol);
    _protocol.channelOpenConfirm = (remote, local, _window, packetSize) => {
      const channel = _chanMgr.get(local) as RawChannel;
      channel.incoming.window = this.#share();
      this.#channels.set(remote, channel);
      confirm(remote, local, channel.incoming.window, packetSize);
    };
    _protocol.channelWindowAdjust = (remote, bytes) => {
      const channel = this.#channels.get(remote);
      if (channel === undefined) this.#adjust(remote, bytes);
      // It has counted them already.
      else channel.incoming.window -= bytes;
    };
  }

  /** To be called when a reader wants more of this channel. */
  grant(channel: RawChannel): void {
    const { incoming, outgoing, readableLength } = channel;
    if (this.#channels.get(outgoing.id) !== channel || incoming.state !== 'open' || outgoing.state === 'closed') return;
    const share = this.#share();
    const bytes = share - incoming.window - readableLength;
    if (bytes < share / 2) return;
    incoming.window += bytes;
    this.#adjust(outgoing.id, bytes);
  }

  forget(channel: RawChannel): void {
    if (this.#channels.get(channel.outgoing.id) === channel) this.#channels.delete(channel.outgoing.id);
  }
}
