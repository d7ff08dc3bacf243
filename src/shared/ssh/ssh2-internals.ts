/** The private fields of ssh2 1.17.0 that the hardening stands on, described once so that nothing else guesses at them. */
import type { KeyObject } from 'node:crypto';
import type { EventEmitter } from 'node:events';
import type { Socket } from 'node:net';
import type { Channel, Client, Connection } from 'ssh2';
import { FleetError } from '../errors.ts';

/** The only release whose private fields are known to be these; package.json pins it and a test compares. */
export const SSH2_VERSION = '1.17.0';

/** One direction of a channel. RFC 4254, 5.2: `window` is how many bytes may still flow before the receiver grants more. */
export interface ChannelDirection {
  id: number;
  window: number;
  packetSize: number;
  state: 'open' | 'eof' | 'closing' | 'closed';
}

export type RawChannel = Channel & { incoming: ChannelDirection; outgoing: ChannelDirection };

/** RFC 4254, 5.1. `data` depends on the type; the tcpip types have a destination. */
export interface ChannelOpenInfo {
  type: string;
  sender: number;
  window: number;
  packetSize: number;
  data: { destIP?: string; destPort?: number };
}

export interface ChannelConfirmationInfo {
  recipient: number;
  sender: number;
  window: number;
  packetSize: number;
}

/** What ssh2 does with each inbound message; assigning to a field changes it for this connection only. */
export interface MessageHandlers {
  CHANNEL_OPEN(protocol: Ssh2Protocol, info: ChannelOpenInfo): void;
  CHANNEL_OPEN_CONFIRMATION(protocol: Ssh2Protocol, info: ChannelConfirmationInfo): void;
  CHANNEL_DATA(protocol: Ssh2Protocol, recipient: number, data: Buffer): void;
  CHANNEL_EXTENDED_DATA(protocol: Ssh2Protocol, recipient: number, data: Buffer, type: number): void;
  CHANNEL_WINDOW_ADJUST(protocol: Ssh2Protocol, recipient: number, bytes: number): void;
  GLOBAL_REQUEST(protocol: Ssh2Protocol, name: string, wantReply: boolean, data: unknown): void;
}

/** What we offer in a KEXINIT, in its order. RFC 4253, 7.1. */
export interface AlgorithmLists {
  kex: string[];
  serverHostKey: string[];
  /** From client to server; `sc` the other way. */
  cs: DirectionLists;
  sc: DirectionLists;
}

interface DirectionLists {
  cipher: string[];
  mac: string[];
  compress: string[];
  lang: string[];
}

/** The same lists as ssh2 keeps them, ready for the wire; shared by all connections of a server. */
export interface AlgorithmOffer {
  constructor: new (lists: AlgorithmLists) => AlgorithmOffer;
  lists: {
    kex: { array: string[] };
    serverHostKey: { array: string[] };
    cs: Record<keyof DirectionLists, { array: string[] }>;
  };
}

export interface Ssh2Protocol {
  _handlers: MessageHandlers;
  /** Sends our identification line; gone once it has. The client calls it when TCP is connected, the server before anything else. */
  start?: (() => void) | undefined;
  /** What the next KEXINIT says, and the next one of the peer is compared with. */
  _offer: AlgorithmOffer;
  /** Whether strict key exchange is on; ssh2 decides it by the peer's first KEXINIT, unless it is decided by then. */
  _strictMode: boolean | undefined;
  /**
   * Of the present keys; until the first, it sends packets (length, length of padding, payload) as they are. AES-GCM's without the
   * native module has the key.
   */
  _cipher: { encrypt(packet: Uint8Array): void; _encKey?: Buffer | KeyObject };
  /** Likewise; there once the peer's identification line has come. Until the first keys, it takes each payload of the peer. */
  _decipher: { _onPayload: (payload: Buffer) => unknown; _decipherKey?: Buffer | KeyObject } | undefined;
  /** Our KEXINIT while a key exchange runs; outbound packets then go to `_queue`. */
  _kexinit: Buffer | undefined;
  _queue: Buffer[] | undefined;
  /** Writes to the socket; every new cipher takes the function that is here when keys have been exchanged. */
  _onWrite: (data: Uint8Array) => void;
  /** Takes each decrypted message outside of a key exchange; every new decipher takes the function that is here when keys have been exchanged. */
  _onPayload: (payload: Buffer) => unknown;
  /** Starts a key exchange; does nothing while one runs. */
  rekey(): void;
  channelOpenConfirm(remote: number, local: number, window: number, packetSize: number): void;
  channelOpenFail(recipient: number, reason: number, description?: string): void;
  channelWindowAdjust(remote: number, bytes: number): void;
  requestFailure(): void;
}

/** What ssh2's `Client` and the server's `Connection` have in common. */
export interface Ssh2Connection extends EventEmitter {
  _protocol: Ssh2Protocol;
  _sock: Socket;
  /** `get` gives a channel, a function while we wait for its confirmation, `true` while it is reserved, or undefined. */
  _chanMgr: { _count: number; get(id: number): unknown };
  /** Client only: starts the keepalive interval anew. */
  _resetKA?: () => void;
  /** Client only: software version of the other side, once its identification line came. */
  _remoteVer?: string;
  /** Sends DISCONNECT and then ends the socket. Never destroys it. */
  end(): unknown;
}

/**
 * The same object with its private fields in the open; a client must have been told to connect before.
 * @throws FleetError `internal` when they are not there: the installed ssh2 is another one.
 */
export function internalsOf(connection: Client | Connection): Ssh2Connection {
  const internals = connection as unknown as Ssh2Connection;
  const complete =
    typeof internals._protocol?._handlers?.CHANNEL_DATA === 'function' &&
    typeof internals._protocol.rekey === 'function' &&
    typeof internals._protocol._onWrite === 'function' &&
    typeof internals._protocol._onPayload === 'function' &&
    typeof internals._protocol._cipher?.encrypt === 'function' &&
    Array.isArray(internals._protocol._offer?.lists?.cs?.cipher?.array) &&
    typeof internals._chanMgr?._count === 'number' &&
    typeof internals._sock?.destroy === 'function';
  if (!complete) throw new FleetError('internal', `the installed ssh2 is not version ${SSH2_VERSION}`);
  return internals;
}

/** The channel behind an id, if it is fully open. */
export function openChannelOf(connection: Ssh2Connection, id: number): RawChannel | undefined {
  const entry = connection._chanMgr.get(id);
  if (typeof entry !== 'object' || entry === null || !('incoming' in entry)) return undefined;
  return entry as RawChannel;
}

/** The message number in a packet that is not encrypted: after its length and the length of its padding. RFC 4253, 6. */
export function payloadTypeOf(packet: Uint8Array): number | undefined {
  return packet[5];
}
