/** Checks in front of ssh2's message handlers: what a hostile peer may say in a message that it may send, and ssh2 would swallow. */
import type { SshLimits } from './limits.ts';
import { type MessageHandlers, openChannelOf, type Ssh2Connection } from './ssh2-internals.ts';

/** Reason codes of RFC 4254, 5.1. */
export const OPEN_FAILURE = {
  administrativelyProhibited: 1,
  connectFailed: 2,
  unknownChannelType: 3,
  resourceShortage: 4,
} as const;

export type OpenFailure = (typeof OPEN_FAILURE)[keyof typeof OPEN_FAILURE];

/** RFC 4254, 5.2: a window must not grow past 2^32 − 1. */
const MAX_WINDOW = 0xffff_ffff;

/** Violations for which a connection is cut at once. */
export type Violation = 'packet_size' | 'window_overrun' | 'window_overflow' | 'data_after_eof' | 'extended_data';

export interface HandlerRules {
  role: 'server' | 'client';
  limits: SshLimits;
  /** Whether one more channel fits. */
  hasRoom: () => boolean;
  /** Why a channel to this destination is refused; undefined lets it through to ssh2's own event. */
  refuse: (type: string, destination: { host: string; port: number }) => OpenFailure | undefined;
  /** Cuts the connection. */
  kill: (violation: Violation) => void;
}

/** Puts the rules in front of one connection's handlers. The packet with a violation is not handled. */
export function guardHandlers(connection: Ssh2Connection, rules: HandlerRules): void {
  const handlers = connection._protocol._handlers;
  guardChannelOpen(handlers, rules);
  guardChannelData(connection, handlers, rules);
  guardGlobalRequests(handlers, rules);
}

/** Makes the rest of a chunk that was already decrypted have no effect. */
export function disarmHandlers(connection: Ssh2Connection): void {
  const handlers = connection._protocol._handlers;
  for (const name of Object.keys(handlers)) Object.assign(handlers, { [name]: () => {} });
}

function guardChannelOpen(handlers: MessageHandlers, rules: HandlerRules): void {
  const { limits, kill } = rules;
  const { CHANNEL_OPEN, CHANNEL_OPEN_CONFIRMATION } = handlers;

  handlers.CHANNEL_OPEN = (protocol, info) => {
    // ssh2 cuts data into packets of this size, in a loop that never ends for 0.
    if (info.packetSize < limits.minPacketBytes) return kill('packet_size');
    if (!rules.hasRoom()) {
      return protocol.channelOpenFail(info.sender, OPEN_FAILURE.resourceShortage, 'too many channels');
    }
    const { destIP: host = '', destPort: port = 0 } = info.data;
    const refusal = rules.refuse(info.type, { host, port });
    if (refusal !== undefined) return protocol.channelOpenFail(info.sender, refusal, '');
    info.packetSize = Math.min(info.packetSize, limits.maxPacketBytes);
    CHANNEL_OPEN(protocol, info);
  };

  handlers.CHANNEL_OPEN_CONFIRMATION = (protocol, info) => {
    if (info.packetSize < limits.minPacketBytes) return kill('packet_size');
    info.packetSize = Math.min(info.packetSize, limits.maxPacketBytes);
    CHANNEL_OPEN_CONFIRMATION(protocol, info);
  };
}

function guardChannelData(connection: Ssh2Connection, handlers: MessageHandlers, { kill }: HandlerRules): void {
  const { CHANNEL_DATA, CHANNEL_WINDOW_ADJUST } = handlers;

  handlers.CHANNEL_DATA = (protocol, recipient, data) => {
    const channel = openChannelOf(connection, recipient);
    if (channel === undefined) return;
    // ssh2 only looks whether the window is exactly 0.
    if (data.length > channel.incoming.window) return kill('window_overrun');
    if (channel.incoming.state !== 'open') return kill('data_after_eof');
    // We have closed; the peer has not heard it yet. Handing this on would grant it more window.
    if (channel.outgoing.state === 'closing') return;
    CHANNEL_DATA(protocol, recipient, data);
  };

  // Only sessions have a stderr, and there are none. ssh2 would buffer it past the window.
  handlers.CHANNEL_EXTENDED_DATA = (_protocol, recipient) => {
    if (openChannelOf(connection, recipient) !== undefined) kill('extended_data');
  };

  handlers.CHANNEL_WINDOW_ADJUST = (protocol, recipient, bytes) => {
    const channel = openChannelOf(connection, recipient);
    if (channel !== undefined && channel.outgoing.window + bytes > MAX_WINDOW) return kill('window_overflow');
    CHANNEL_WINDOW_ADJUST(protocol, recipient, bytes);
  };
}

function guardGlobalRequests(handlers: MessageHandlers, { role }: HandlerRules): void {
  if (role === 'server') return;
  handlers.GLOBAL_REQUEST = (protocol, _name, wantReply) => {
    // A gateway has nothing to ask of us. ssh2 would keep a callback for each `hostkeys-00@openssh.com`, without a bound.
    if (wantReply) protocol.requestFailure();
  };
}
