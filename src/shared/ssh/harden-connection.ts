/** What stands between one ssh2 connection and the world, on either end: every limit, every 'error', and an end that really ends. */
import type { Client, Connection } from 'ssh2';
import type { Clock, Timer } from '../clock.ts';
import type { Logger } from '../logger.ts';
import { ChannelSocket } from './channel-socket.ts';
import { coalesceWrites } from './coalesce-writes.ts';
import { filterMessages, type MessageRules } from './filter-messages.ts';
import { disarmHandlers, guardHandlers, type HandlerRules } from './guard-handlers.ts';
import { HeldKexInit } from './held-kexinit.ts';
import { useKeyObjects } from './key-objects.ts';
import { RESERVED_CHANNELS, type SshLimits } from './limits.ts';
import { ReceiveWindows } from './receive-window.ts';
import { RekeyPolicy } from './rekey-policy.ts';
import { sendKexInitEarly } from './send-kexinit-early.ts';
import { internalsOf, type RawChannel, type Ssh2Connection } from './ssh2-internals.ts';
import { TransmitGate } from './transmit-gate.ts';

/** What a connection takes that is counted together with others of its key. */
export interface Sharing {
  readonly isOpen: boolean;
  readonly channelCount: number;
  readonly waitingBytes: number;
}

export interface HardenOptions extends Pick<HandlerRules & MessageRules, 'role' | 'isReady' | 'refuse'> {
  /** Channels of both directions that may exist at once, over all connections of the key. */
  maxChannels: () => number;
  /** All connections of the same key; this one alone when absent. */
  ofSameKey?: () => Iterable<Sharing>;
  /** Whether nobody has vouched for the peer, which then may send only what pairing takes. */
  isStranger: () => boolean;
  limits: SshLimits;
  clock: Clock;
  logger: Logger;
  /** Uniform in [0, 1). */
  random: () => number;
}

export interface ConnectionEnd {
  /** A stable word: what {@link GuardedConnection.close} or `kill` was given, or `keepalive_timeout`, `protocol_error`, `socket_error`, `remote_closed`. */
  reason: string;
  /** Whether we cut it because of what the peer did. */
  killed: boolean;
  /** The first error that ssh2 or the socket reported. */
  error?: Error;
}

/**
 * Hardens an ssh2 connection; must run in the same tick in which ssh2 made it, on the server in its 'connection' event, on
 * the client right after `connect()`.
 */
export function hardenConnection(connection: Client | Connection, options: HardenOptions): GuardedConnection {
  const guarded = new GuardedConnection(internalsOf(connection), options);
  guarded.attach();
  return guarded;
}

export class GuardedConnection {
  readonly internals: Ssh2Connection;
  readonly limits: SshLimits;
  readonly clock: Clock;
  /** Resolves, never rejects, when the socket is closed. */
  readonly closed: Promise<ConnectionEnd>;
  readonly #options: HardenOptions;
  readonly #gate: TransmitGate;
  readonly #windows: ReceiveWindows;
  readonly #rekey: RekeyPolicy;
  readonly #heldKexInit: HeldKexInit;
  readonly #channels = new Set<ChannelSocket>();
  readonly #resolveClosed: (end: ConnectionEnd) => void;
  #reason: string | undefined;
  #killed = false;
  #isCut = false;
  #error: Error | undefined;
  #destroyTimer: Timer | undefined;
  #ended = false;

  constructor(internals: Ssh2Connection, options: HardenOptions) {
    const { promise, resolve } = Promise.withResolvers<ConnectionEnd>();
    this.internals = internals;
    this.limits = options.limits;
    this.clock = options.clock;
    this.closed = promise;
    this.#resolveClosed = resolve;
    this.#options = options;
    this.#gate = new TransmitGate(internals, options.limits, () => this.#ofKey('waitingBytes'));
    this.#windows = new ReceiveWindows(internals, () => options.limits.keyReceiveBytes / this.#ofKey('channelCount'));
    this.#rekey = new RekeyPolicy({
      connection: internals,
      limits: options.limits,
      clock: options.clock,
      random: options.random,
      kill: (reason) => this.kill(reason),
    });
    this.#heldKexInit = new HeldKexInit({
      protocol: internals._protocol,
      holdMs: options.limits.kexInitHoldMs,
      clock: options.clock,
      isCut: () => this.#isCut,
      kill: (violation) => this.kill(violation),
      blame: (reason) => this.#blame(reason),
    });
  }

  /** Installs all checks; {@link hardenConnection} calls it. */
  attach(): void {
    const { internals } = this;
    coalesceWrites(internals);
    if (this.#options.role === 'server') this.#heldKexInit.hold();
    else sendKexInitEarly(internals);
    filterMessages(internals, {
      ...this.#options,
      isCut: () => this.#isCut,
      kill: (violation) => this.kill(violation),
    });
    guardHandlers(internals, {
      ...this.#options,
      hasRoom: () => this.hasRoom,
      kill: (violation) => this.kill(violation),
    });
    this.#windows.install();
    internals.on('error', (error: Error & { level?: string }) => this.#onError(error));
    internals.on('handshake', () => {
      useKeyObjects(internals);
      this.#rekey.onHandshake();
      this.#gate.wake();
    });
    // Our keepalives stop here; a peer that ends its half and never reads would keep the socket for ever.
    internals.on('end', () => this.#destroyLater());
    internals.on('close', () => this.#onClose());
    internals._sock.on('data', () => this.#onData());
    internals._sock.on('drain', () => this.#gate.wake());
  }

  /** Whether a message sent now has a chance to arrive. */
  get isOpen(): boolean {
    const { _sock } = this.internals;
    return !this.#ended && this.#reason === undefined && !_sock.destroyed && _sock.writable;
  }

  /** Channels in both directions, with those that wait for an answer. */
  get channelCount(): number {
    return this.internals._chanMgr._count;
  }

  /** Whether one more channel fits. */
  get hasRoom(): boolean {
    const most = this.#options.maxChannels();
    if (this.channelCount >= most) return false;
    return this.channelCount < RESERVED_CHANNELS || this.#ofKey('channelCount') < most;
  }

  /** Bytes that wait in the socket. */
  get waitingBytes(): number {
    return this.internals._sock.writableLength;
  }

  /** Gives ssh2's channel the life cycle of a socket. `allowHalfOpen` as in {@link ChannelSocket}. */
  adopt(raw: RawChannel, allowHalfOpen: boolean): ChannelSocket {
    const socket = new ChannelSocket(raw, {
      gate: this.#gate,
      clock: this.clock,
      allowHalfOpen,
      onRead: () => this.#windows.grant(raw),
    });
    this.#channels.add(socket);
    socket.once('close', () => this.#channels.delete(socket));
    raw.once('close', () => this.#windows.forget(raw));
    return socket;
  }

  /** Says goodbye, and destroys the socket at the latest after `closeGraceMs`. Idempotent: the first reason stays. */
  close(reason: string): void {
    if (this.#ended || this.#reason !== undefined) return;
    this.#reason = reason;
    this.internals.end();
    this.#destroyLater();
  }

  /**
   * Ends it at once, also when it is being closed: nothing that the peer has sent or sends is heard any more, and whatever goes on over its
   * channels breaks off. The peer is told, and its socket destroyed at the latest after `closeGraceMs`.
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

  /** Cuts the connection at once because of what the peer did. */
  kill(reason: string): void {
    this.#blame(reason);
    this.destroy(reason);
  }

  /** Ends the connection at once, with no blame. */
  destroy(reason: string): void {
    this.#reason ??= reason;
    this.#isCut = true;
    disarmHandlers(this.internals);
    this.internals._sock.destroy();
  }

  /** Tells what a connection ends for that is about to end. */
  #blame(reason: string): void {
    if (this.#reason !== undefined) return;
    this.#reason = reason;
    this.#killed = true;
    this.#options.logger.warn({ reason }, 'ssh connection cut');
  }

  /** A connection that is being closed may stay a moment, and takes no channel from the one that came after it. */
  #ofKey(what: 'channelCount' | 'waitingBytes'): number {
    let total = 0;
    for (const connection of this.#options.ofSameKey?.() ?? [this]) {
      if (what === 'waitingBytes' || connection.isOpen) total += connection[what];
    }
    return total;
  }

  #onData(): void {
    const { _protocol, _sock } = this.internals;
    const { transmitKillBytes, maxQueuedPackets, maxUnauthenticatedBytes } = this.limits;
    const queued = _protocol._queue?.length ?? 0;
    if (_sock.writableLength > transmitKillBytes || queued > maxQueuedPackets) this.kill('unread_replies');
    else if (_sock.bytesRead > maxUnauthenticatedBytes && this.#options.isStranger()) this.kill('stranger_flood');
    else this.#rekey.onData();
  }

  #onError(error: Error & { level?: string }): void {
    this.#error ??= error;
    this.#options.logger.debug({ err: error, level: error.level }, 'ssh connection error');
    // ssh2 only ends the socket, which waits for ever for a peer that is stopped.
    if (error.level === 'client-timeout') this.kill('keepalive_timeout');
    else this.#destroyLater();
  }

  #destroyLater(): void {
    this.#destroyTimer ??= this.clock.after(this.limits.closeGraceMs, () => this.internals._sock.destroy(), {
      unref: true,
    });
  }

  #onClose(): void {
    if (this.#ended) return;
    this.#ended = true;
    this.#destroyTimer?.cancel();
    this.#rekey.stop();
    this.#heldKexInit.drop();
    this.#gate.clear();
    for (const channel of this.#channels) channel.connectionLost();
    const end: ConnectionEnd = { reason: this.#reason ?? reasonOf(this.#error), killed: this.#killed };
    if (this.#error !== undefined) end.error = this.#error;
    this.#resolveClosed(end);
  }
}

function reasonOf(error: (Error & { level?: string }) | undefined): string {
  if (error === undefined) return 'remote_closed';
  return error.level === 'socket' || error.level === 'client-socket' ? 'socket_error' : 'protocol_error';
}
