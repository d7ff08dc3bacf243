/**
 * Which messages of a peer reach ssh2 at all, by what the peer is at that moment, and what they may say.
 *
 * ssh2 parses a message before it asks whether anybody wants it: one `hostkeys-00@openssh.com` request of 35 KB, which only servers send,
 * keeps a server's event loop busy for a quarter of a second with a regular expression, authenticated or not.
 */
import { SshReader } from '../ssh-wire.ts';
import { type Guard, OPEN_FAILURE, type RawChannel, type Ssh2Connection } from './internals.ts';

/** Message numbers. RFC 4250, 4.1.2; EXT_INFO: RFC 8308. */
const DISCONNECT = 1;
const IGNORE = 2;
const DEBUG = 4;
const SERVICE_REQUEST = 5;
const SERVICE_ACCEPT = 6;
const EXT_INFO = 7;
const KEXINIT = 20;
const USERAUTH_REQUEST = 50;
const USERAUTH_FAILURE = 51;
const USERAUTH_BANNER = 53;
const USERAUTH_PK_OK = 60;
const GLOBAL_REQUEST = 80;
const REQUEST_FAILURE = 82;
const CHANNEL_OPEN = 90;
const CHANNEL_FAILURE = 100;

/** OpenSSH's PROTOCOL, 2.5. The only global request whose body is costly to parse. */
const HOST_KEYS = 'hostkeys-00@openssh.com';
/** RFC 4254, 5.2: a window must not grow past 2^32 − 1. */
const MAX_WINDOW = 0xffff_ffff;

/** Takes effect with the first keys, before which ssh2 accepts only the key exchange; must be installed before that exchange. */
export function filterMessages(
  guard: Pick<Guard<'role'>, 'internals' | 'options' | 'isReady' | 'isCut' | 'kill'>,
): void {
  const { _protocol } = guard.internals;
  const { role } = guard.options;
  const onPayload = _protocol._onPayload;
  _protocol._onPayload = (payload) => {
    if (guard.isCut) return undefined;
    // ssh2 treats an empty one as a sign of life.
    const type = payload[0] ?? IGNORE;
    if (!guard.isReady()) {
      return belongsBeforeReady(type, role) ? onPayload(payload) : guard.kill('early_message');
    }
    if (type === GLOBAL_REQUEST) return onPayload(withoutHostKeys(payload));
    return belongsAfterReady(type) ? onPayload(payload) : undefined;
  };
}

function belongsBeforeReady(type: number, role: 'server' | 'client'): boolean {
  if (isTransport(type)) return true;
  return role === 'server'
    ? type === SERVICE_REQUEST || type === USERAUTH_REQUEST
    : type === SERVICE_ACCEPT || isBetween(type, USERAUTH_FAILURE, USERAUTH_BANNER) || type === USERAUTH_PK_OK;
}

/** Drops the rest: late authentication (RFC 4252, 5.1: "silently ignored"), and unknown messages. */
function belongsAfterReady(type: number): boolean {
  const isGlobal = isBetween(type, GLOBAL_REQUEST, REQUEST_FAILURE);
  return isTransport(type) || isGlobal || isBetween(type, CHANNEL_OPEN, CHANNEL_FAILURE);
}

function isTransport(type: number): boolean {
  return isBetween(type, DISCONNECT, DEBUG) || type === EXT_INFO || type === KEXINIT;
}

function isBetween(type: number, first: number, last: number): boolean {
  return type >= first && type <= last;
}

/** Only servers announce host keys, and we asked for none; without them ssh2 refuses the request like any unknown one. RFC 4254, 4. */
function withoutHostKeys(payload: Buffer): Buffer {
  const reader = new SshReader(payload.subarray(1));
  const name = reader.string()?.toString('latin1');
  if (name !== HOST_KEYS || reader.bytes(1) === undefined) return payload;
  return payload.subarray(0, payload.length - reader.remaining);
}

type HandlerGuard = Pick<Guard<'role' | 'limits'>, 'internals' | 'options' | 'hasRoom' | 'refuse' | 'kill'>;

/** Checks in front of ssh2's handlers: what a hostile peer may say in a message that ssh2 would accept as it is. */
export function guardHandlers(guard: HandlerGuard): void {
  guardChannelOpen(guard);
  guardChannelData(guard);
  if (guard.options.role === 'server') return;
  // A gateway has nothing to request of us. ssh2 would keep a callback for each `hostkeys-00@openssh.com`, without a bound.
  guard.internals._protocol._handlers.GLOBAL_REQUEST = (protocol, _name, wantReply) => {
    if (wantReply) protocol.requestFailure();
  };
}

/** Makes the rest of a chunk that was already decrypted have no effect. */
export function disarmHandlers({ _protocol: { _handlers } }: Ssh2Connection): void {
  for (const name of Object.keys(_handlers)) Object.assign(_handlers, { [name]: () => {} });
}

function guardChannelOpen(guard: HandlerGuard): void {
  const { limits } = guard.options;
  const handlers = guard.internals._protocol._handlers;
  const { CHANNEL_OPEN, CHANNEL_OPEN_CONFIRMATION } = handlers;

  handlers.CHANNEL_OPEN = (protocol, info) => {
    // ssh2 splits data into packets of this size, in a loop that never ends for 0.
    if (info.packetSize < limits.minPacketBytes) return guard.kill('packet_size');
    if (!guard.hasRoom)
      return protocol.channelOpenFail(info.sender, OPEN_FAILURE.resourceShortage, 'too many channels');
    const { destIP: host = '', destPort: port = 0 } = info.data;
    const refusal = guard.refuse(info.type, { host, port });
    if (refusal !== undefined) return protocol.channelOpenFail(info.sender, refusal, '');
    info.packetSize = Math.min(info.packetSize, limits.maxPacketBytes);
    CHANNEL_OPEN(protocol, info);
  };

  handlers.CHANNEL_OPEN_CONFIRMATION = (protocol, info) => {
    if (info.packetSize < limits.minPacketBytes) return guard.kill('packet_size');
    info.packetSize = Math.min(info.packetSize, limits.maxPacketBytes);
    CHANNEL_OPEN_CONFIRMATION(protocol, info);
  };
}

function guardChannelData(guard: HandlerGuard): void {
  const { internals } = guard;
  const handlers = internals._protocol._handlers;
  const { CHANNEL_DATA, CHANNEL_WINDOW_ADJUST } = handlers;

  handlers.CHANNEL_DATA = (protocol, recipient, data) => {
    const channel = openChannelOf(internals, recipient);
    if (channel === undefined) return;
    // ssh2 only checks whether the window is exactly 0.
    if (data.length > channel.incoming.window) return guard.kill('window_overrun');
    if (channel.incoming.state !== 'open') return guard.kill('data_after_eof');
    // We have closed, but the peer has not heard it yet. Passing this on would grant it more window.
    if (channel.outgoing.state === 'closing') return;
    CHANNEL_DATA(protocol, recipient, data);
  };

  // No peer has anything to send on stderr, which ssh2 would buffer past the window.
  handlers.CHANNEL_EXTENDED_DATA = (_protocol, recipient) => {
    if (openChannelOf(internals, recipient) !== undefined) guard.kill('extended_data');
  };

  handlers.CHANNEL_WINDOW_ADJUST = (protocol, recipient, bytes) => {
    const channel = openChannelOf(internals, recipient);
    if (channel !== undefined && channel.outgoing.window + bytes > MAX_WINDOW) return guard.kill('window_overflow');
    CHANNEL_WINDOW_ADJUST(protocol, recipient, bytes);
  };
}

/** The channel behind an id, if it is fully open. */
function openChannelOf(connection: Ssh2Connection, id: number): RawChannel | undefined {
  const entry = connection._chanMgr.get(id);
  if (typeof entry !== 'object' || entry === null || !('incoming' in entry)) return undefined;
  return entry as RawChannel;
}
