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

export interface Ssh2Protocol {
  _handlers: MessageHandlers;
  /** Our KEXINIT while a key exchange runs; outbound packets then go to `_queue`. */
  _kexinit: Buffer | undefined;
  _queue: Buffer[] | undefined;
  /** Of the present keys; AES-GCM's without the native module have these fields. */
  _cipher: { _encKey?: Buffer | KeyObject } | undefined;
  _decipher: { _decipherKey?: Buffer | KeyObject } | undefined;
  /** Writes to the socket; every new cipher takes the function that is here when keys have been exchanged. */
  _onWrite: (data: Uint8Array) => void;
  /** Takes each decrypted message outside of a key exchange; every new decipher takes the function that is here when keys have been exchanged. */
  _onPayload: (payload: Buffer) => unknown;
  /** Starts a key exchange; does nothing while one runs. */
  rekey(): void;
  channelOpenFail(recipient: number, reason: number, description?: string): void;
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
