/** Everything between one ssh2 connection and the world, on either end: every limit, every 'error', and an end that really ends. */
import type { Client, Connection } from 'ssh2';
import type { Timer } from '../../clock.ts';
import { FleetError } from '../../errors.ts';
import { RESERVED_CHANNELS } from '../limits.ts';
import { coalesceWrites, ReceiveWindows, TransmitGate } from '../patches/flow-control.ts';
import {
  type Guard,
  type GuardOptions,
  internalsOf,
  type OpenFailure,
  type RawChannel,
  type RawSession,
  type Sharing,
  type Ssh2Connection,
} from '../patches/internals.ts';
import { HeldKexInit, sendKexInitEarly } from '../patches/key-exchange.ts';
import { disarmHandlers, filterMessages, guardHandlers } from '../patches/messages.ts';
import { RekeyPolicy, useKeyObjects } from '../patches/rekeying.ts';
import { ChannelSocket } from './channel-socket.ts';

interface ConnectionEnd {
  /** A stable word: what `close`, `cut` or `kill` was given, or `keepalive_timeout`, `protocol_error`, `socket_error`, `remote_closed`. */
  reason: string;
  /** Whether we cut it because of what the peer did. */
  killed?: true;
  /** The first error that ssh2 or the socket reported. */
  error?: Error;
}

/** ssh2's callback for `forwardOut`, on both ends. */
type OpenCallback = (error: (Error & { reason?: unknown }) | undefined, channel: RawChannel) => void;

export abstract class GuardedConnection implements Guard<keyof GuardOptions> {
  readonly internals: Ssh2Connection;
  readonly options: GuardOptions;
  /** Resolves, never rejects, when the socket is closed; all channels are destroyed by then. */
  readonly ended: Promise<ConnectionEnd>;
  readonly #resolveEnded: (end: ConnectionEnd) => void;
  readonly #gate: TransmitGate;
  readonly #windows: ReceiveWindows;
  readonly #rekey: RekeyPolicy;
  readonly #heldKexInit: HeldKexInit;
  readonly #channels = new Set<ChannelSocket>();
  #reason: string | undefined;
  #killed = false;
  #isCut = false;
  #error: Error | undefined;
  #destroyTimer: Timer | undefined;
  #ended = false;

  /** Must run in the same tick in which ssh2 made the connection: in the server's 'connection' event, or right after a client's `connect()`. */
  constructor(connection: Client | Connection, options: GuardOptions) {
    this.internals = internalsOf(connection);
    this.options = options;
    const { promise, resolve } = Promise.withResolvers<ConnectionEnd>();
    this.ended = promise;
    this.#resolveEnded = resolve;
    this.#gate = new TransmitGate(this);
    this.#windows = new ReceiveWindows(this);
    this.#rekey = new RekeyPolicy(this);
    this.#heldKexInit = new HeldKexInit(this);
    this.#attach();
  }

  #attach(): void {
    const { internals } = this;
    coalesceWrites(internals);
    if (this.options.role === 'server') this.#heldKexInit.hold();
    else sendKexInitEarly(internals);
    filterMessages(this);
    guardHandlers(this);
    this.#windows.install();
    internals.on('error', (error: Error & { level?: string }) => this.#onError(error));
    internals.on('handshake', () => {
      useKeyObjects(internals);
      this.#rekey.onHandshake();
      this.#gate.wake();
    });
    // Our keepalives stop here; a peer that ends its half and never reads would keep the socket forever.
    internals.on('end', () => this.#destroyLater());
    internals.on('close', () => this.#onClose());
    internals._sock.on('data', () => this.#onData());
    internals._sock.on('drain', () => this.#gate.wake());
  }

  abstract isReady(): boolean;
  /** Whether nobody has vouched for the peer, which then may send no more than pairing takes. */
  abstract isStranger(): boolean;
  /** Most channels of the key at once, over all its connections and in both directions. */
  abstract maxChannels(): number;
  abstract refuse(type: string, destination: { host: string; port: number }): OpenFailure | undefined;

  /** All connections of the same key. */
  ofSameKey(): Iterable<Sharing> {
    return [this];
  }

  get bytesIn(): number {
    return this.internals._sock.bytesRead;
  }

  get bytesOut(): number {
    return this.internals._sock.bytesWritten;
  }

  /** Whether a message sent now has a chance to arrive. */
  get isOpen(): boolean {
    const { _sock } = this.internals;
    return !this.#ended && this.#reason === undefined && !_sock.destroyed && _sock.writable;
  }

  get isCut(): boolean {
    return this.#isCut;
  }

  /** Channels in both directions, including those that wait for an answer. */
  get channelCount(): number {
    return this.internals._chanMgr._count;
  }

  get hasRoom(): boolean {
    const most = this.maxChannels();
    if (this.channelCount >= most) return false;
    return this.channelCount < RESERVED_CHANNELS || this.ofKey('channelCount') < most;
  }

  /** Bytes that wait in the socket. */
  get waitingBytes(): number {
    return this.internals._sock.writableLength;
  }

  /** Gives ssh2's channel the life cycle of a socket. `allowHalfOpen` as in {@link ChannelSocket}. */
  adopt(raw: RawChannel, allowHalfOpen: boolean): ChannelSocket {
    const socket = new ChannelSocket(raw, {
      gate: this.#gate,
      clock: this.options.clock,
      allowHalfOpen,
      onRead: () => this.#windows.grant(raw),
    });
    this.#channels.add(socket);
    socket.once('close', () => this.#channels.delete(socket));
    raw.once('close', () => this.#windows.forget(raw));
    return socket;
  }

  /** Answers the CLOSE of a session that never became a channel; ssh2 would keep its id forever. */
  closeUnused({ _chanInfo }: RawSession): void {
    this.#windows.forget(_chanInfo);
    this.internals._protocol.channelClose(_chanInfo.outgoing.id);
    this.internals._chanMgr.remove(_chanInfo.incoming.id);
  }

  /**
   * Opens a channel, with a deadline because ssh2 never calls back when the connection is dead. It has the life cycle of a socket that was
   * dialed (`allowHalfOpen` false).
   * @param start calls ssh2's function that sends the request
   * @throws FleetError `channel_open_failed` when refused, `timeout` without an answer, `connection_lost` when the connection is or goes
   * down, `busy` when all channels are taken
   */
  openChannel(start: (callback: OpenCallback) => void): Promise<ChannelSocket> {
    if (!this.isOpen) return Promise.reject(connectionDown());
    if (!this.hasRoom) return Promise.reject(new FleetError('busy', 'all channels of the SSH connection are in use'));
    const { promise, resolve, reject } = Promise.withResolvers<ChannelSocket>();
    const { clock, limits } = this.options;
    const { openTimeoutMs } = limits;
    let isLate = false;
    const timer = clock.after(openTimeoutMs, () => {
      isLate = true;
      reject(new FleetError('timeout', `no answer to a channel open within ${openTimeoutMs / 1000} s`));
    });
    // Also called, with an error, when the connection ends before the answer.
    const onAnswer: OpenCallback = (error, raw) => {
      timer.cancel();
      if (error) return reject(this.isOpen ? channelRefused(error) : connectionDown());
      const channel = this.adopt(raw, false);
      if (isLate) channel.destroy();
      else resolve(channel);
    };
    try {
      start(onAnswer);
    } catch (cause) {
      timer.cancel();
      reject(connectionDown(cause));
    }
    return promise;
  }

  /** Says goodbye, and destroys the socket at the latest after `closeGraceMs`. Idempotent: the first reason stays. */
  close(reason = 'local_close'): void {
    if (this.#ended || this.#reason !== undefined) return;
    this.#reason = reason;
    this.internals.end();
    this.#destroyLater();
  }

  /**
   * Ends it at once, even while it is closing: nothing that the peer has sent or sends has any effect, and its channels break off. The peer
   * is notified, and the socket destroyed at the latest after `closeGraceMs`.
   */
  cut(reason: string): void {
    if (this.#ended || this.#isCut) return;
    this.#reason ??= reason;
    this.internals.end();
    this.#isCut = true;
    disarmHandlers(this.internals);
    for (const channel of this.#channels) channel.connectionLost();
    this.#destroyLater();
  }

  kill(reason: string): void {
    this.blame(reason);
    this.destroy(reason);
  }

  /** Ends the connection at once, without blame. */
  destroy(reason: string): void {
    this.#reason ??= reason;
    this.#isCut = true;
    disarmHandlers(this.internals);
    this.internals._sock.destroy();
  }

  blame(reason: string): void {
    if (this.#reason !== undefined) return;
    this.#reason = reason;
    this.#killed = true;
    this.options.logger.warn({ reason }, 'ssh connection cut');
  }

  /** A closing connection may linger; it takes no channel from its successor. */
  ofKey(what: 'channelCount' | 'waitingBytes'): number {
    let total = 0;
    for (const connection of this.ofSameKey()) {
      if (what === 'waitingBytes' || connection.isOpen) total += connection[what];
    }
    return total;
  }

  #onData(): void {
    const { _protocol, _sock } = this.internals;
    const { transmitKillBytes, maxQueuedPackets, maxUnauthenticatedBytes } = this.options.limits;
    const queued = _protocol._queue?.length ?? 0;
    if (_sock.writableLength > transmitKillBytes || queued > maxQueuedPackets) this.kill('unread_replies');
    else if (_sock.bytesRead > maxUnauthenticatedBytes && this.isStranger()) this.kill('stranger_flood');
    else this.#rekey.onData();
  }

  #onError(error: Error & { level?: string }): void {
    this.#error ??= error;
    this.options.logger.debug({ err: error, level: error.level }, 'ssh connection error');
    // ssh2 only ends the socket, which waits forever for a stopped peer.
    if (error.level === 'client-timeout') this.kill('keepalive_timeout');
    else this.#destroyLater();
  }

  #destroyLater(): void {
    const { clock, limits } = this.options;
    const destroy = (): void => void this.internals._sock.destroy();
    this.#destroyTimer ??= clock.after(limits.closeGraceMs, destroy, { unref: true });
  }

  #onClose(): void {
    if (this.#ended) return;
    this.#ended = true;
    this.#destroyTimer?.cancel();
    this.#rekey.stop();
    this.#heldKexInit.drop();
    this.#gate.clear();
    for (const channel of this.#channels) channel.connectionLost();
    const end: ConnectionEnd = { reason: this.#reason ?? reasonOf(this.#error) };
    if (this.#killed) end.killed = true;
    if (this.#error !== undefined) end.error = this.#error;
    this.#resolveEnded(end);
  }
}

function reasonOf(error: (Error & { level?: string }) | undefined): string {
  if (error === undefined) return 'remote_closed';
  return error.level === 'socket' || error.level === 'client-socket' ? 'socket_error' : 'protocol_error';
}

export function connectionDown(cause?: unknown): FleetError {
  return new FleetError('connection_lost', 'the SSH connection is down', { cause });
}

function channelRefused(cause: Error & { reason?: unknown }): FleetError {
  const facts = { reason: cause.reason };
  return new FleetError('channel_open_failed', 'the other side refused the channel', { cause, facts });
}
