/** The private fields of ssh2 1.17.0 that the patches rely on, described in one place, and what the patches ask of their connection. */
import type { KeyObject } from 'node:crypto';
import type { EventEmitter } from 'node:events';
import type { Socket } from 'node:net';
import type { Channel, Client, Connection } from 'ssh2';
import type { Clock } from '../../clock.ts';
import { FleetError } from '../../errors.ts';
import type { Logger } from '../../logger.ts';
import type { SshLimits } from '../limits.ts';

/** The only release known to have these fields; package.json pins it, and a test compares. */
export const SSH2_VERSION = '1.17.0';

/** Reason codes of RFC 4254, 5.1. */
export const OPEN_FAILURE = { administrativelyProhibited: 1, resourceShortage: 4 } as const;
export type OpenFailure = (typeof OPEN_FAILURE)[keyof typeof OPEN_FAILURE];

/** What is counted together with other connections of the same key. */
export interface Sharing {
  readonly isOpen: boolean;
  readonly channelCount: number;
  readonly waitingBytes: number;
}

export interface GuardOptions {
  role: 'server' | 'client';
  limits: SshLimits;
  clock: Clock;
  logger: Logger;
  /** Uniform in [0, 1). */
  random: () => number;
}

/** The connection that the patches guard. */
export interface Guard<Option extends keyof GuardOptions> {
  readonly internals: Ssh2Connection;
  readonly options: Pick<GuardOptions, Option>;
  /** Whether the peer is authenticated (server) or has authenticated us (client). */
  isReady(): boolean;
  /** Whether the connection is being cut, so that the rest of a chunk that has arrived must have no effect. */
  readonly isCut: boolean;
  /** Whether one more channel fits. */
  readonly hasRoom: boolean;
  /** Why the peer may not open this channel; undefined passes it on to ssh2's own event. */
  refuse(type: string, destination: { host: string; port: number }): OpenFailure | undefined;
  /** The sum over all open connections of this key. */
  ofKey(what: 'channelCount' | 'waitingBytes'): number;
  /** Cuts the connection because of what the peer did. */
  kill(reason: string): void;
  /** Records why the connection is about to end. */
  blame(reason: string): void;
}

/** One direction of a channel. `window`: bytes that may still flow before the receiver grants more. RFC 4254, 5.2. */
export interface ChannelDirection {
  id: number;
  window: number;
  packetSize: number;
  state: 'open' | 'eof' | 'closing' | 'closed';
}

export type RawChannel = Channel & { incoming: ChannelDirection; outgoing: ChannelDirection };

/** ssh2's server puts one in place of a channel until the peer requests a program. */
export interface RawSession extends EventEmitter {
  _chanInfo: { incoming: ChannelDirection; outgoing: ChannelDirection };
}

/** What ssh2 does with each inbound message; assigning to a field changes it for this connection only. */
interface MessageHandlers {
  /** RFC 4254, 5.1. `data` depends on the type; the tcpip types have a destination. */
  CHANNEL_OPEN(
    protocol: Ssh2Protocol,
    info: { type: string; sender: number; packetSize: number; data: { destIP?: string; destPort?: number } },
  ): void;
  CHANNEL_OPEN_CONFIRMATION(protocol: Ssh2Protocol, info: { packetSize: number }): void;
  CHANNEL_DATA(protocol: Ssh2Protocol, recipient: number, data: Buffer): void;
  CHANNEL_EXTENDED_DATA(protocol: Ssh2Protocol, recipient: number, data: Buffer, type: number): void;
  CHANNEL_WINDOW_ADJUST(protocol: Ssh2Protocol, recipient: number, bytes: number): void;
  GLOBAL_REQUEST(protocol: Ssh2Protocol, name: string, wantReply: boolean, data: unknown): void;
}

type Lists<List> = Record<'cipher' | 'mac' | 'compress' | 'lang', List>;

/** What a KEXINIT offers (RFC 4253, 7.1), ready for the wire; shared by all connections of a server. `cs`: from client to server. */
export interface AlgorithmOffer {
  constructor: new (lists: {
    kex: string[];
    serverHostKey: string[];
    cs: Lists<string[]>;
    sc: Lists<string[]>;
  }) => AlgorithmOffer;
  lists: { kex: { array: string[] }; serverHostKey: { array: string[] }; cs: Lists<{ array: string[] }> };
}

interface Ssh2Protocol {
  _handlers: MessageHandlers;
  /** Sends our identification line, then disappears. The client calls it when TCP is connected, the server before anything else. */
  start?: (() => void) | undefined;
  /** The content of our next KEXINIT, with which the peer's next one is compared. */
  _offer: AlgorithmOffer;
  /** Whether strict key exchange is on; unless set, ssh2 decides by the peer's first KEXINIT. */
  _strictMode: boolean | undefined;
  /** Until the first keys, it sends packets (length, padding length, payload) in the clear. AES-GCM without the native module has `_encKey`. */
  _cipher: { encrypt(packet: Uint8Array): void; _encKey?: Buffer | KeyObject };
  /** Exists once the peer's identification line has come. Until the first keys, it receives each payload of the peer. */
  _decipher: { _onPayload: (payload: Buffer) => unknown; _decipherKey?: Buffer | KeyObject } | undefined;
  /** Our KEXINIT during a key exchange; outbound packets then go to `_queue`. */
  _kexinit: Buffer | undefined;
  _queue: Buffer[] | undefined;
  /** Writes to the socket; each new cipher keeps the function that is here at its key exchange. */
  _onWrite: (data: Uint8Array) => void;
  /** Receives each decrypted message outside of key exchanges; each new decipher keeps the function that is here at its key exchange. */
  _onPayload: (payload: Buffer) => unknown;
  /** Starts a key exchange unless one is in progress. */
  rekey(): void;
  channelOpenConfirm(remote: number, local: number, window: number, packetSize: number): void;
  channelOpenFail(recipient: number, reason: number, description?: string): void;
  channelWindowAdjust(remote: number, bytes: number): void;
  channelClose(remote: number): void;
  requestFailure(): void;
}

/** What ssh2's `Client` and the server's `Connection` have in common. */
export interface Ssh2Connection extends EventEmitter {
  _protocol: Ssh2Protocol;
  _sock: Socket;
  /** `get` returns a channel, a session, a callback that waits for a confirmation, `true` for a reserved id, or undefined. */
  _chanMgr: {
    _count: number;
    get(id: number): unknown;
    update(id: number, channel: RawChannel): void;
    remove(id: number): void;
  };
  /** Client only: restarts the keepalive interval. */
  _resetKA?: () => void;
  /** Client only: software version from the peer's identification line. */
  _remoteVer?: string;
  /** Sends DISCONNECT, then ends the socket. Never destroys it. */
  end(): unknown;
}

/**
 * The same object with its private fields typed; a client must have been asked to connect.
 * @throws FleetError `internal` when the fields are missing: another ssh2 is installed.
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
