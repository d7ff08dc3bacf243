/**
 * Which messages of a peer reach ssh2's parsers at all, by what the peer is at that moment.
 *
 * ssh2 takes a message apart before it asks whether anybody wants it: one `hostkeys-00@openssh.com` request of 35 KB, which only
 * servers send, keeps a server's event loop busy for a quarter of a second with a regular expression, authenticated or not.
 */

import { SshReader } from './ssh-wire.ts';
import type { Ssh2Connection } from './ssh2-internals.ts';

/** Message numbers. RFC 4250, 4.1.2; EXT_INFO: RFC 8308. */
const DISCONNECT = 1;
const IGNORE = 2;
const DEBUG = 4;
const SERVICE_REQUEST = 5;
const SERVICE_ACCEPT = 6;
const EXT_INFO = 7;
export const KEXINIT = 20;
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

export interface MessageRules {
  role: 'server' | 'client';
  /** Whether the peer is authenticated (server) or has authenticated us (client). */
  isReady: () => boolean;
  /** Whether the connection is being cut, and what is left of a chunk that came before must have no effect. */
  isCut: () => boolean;
  /** Cuts the connection. */
  kill: (violation: 'early_message') => void;
}

/** Takes effect with the first keys; before them ssh2 takes nothing but the key exchange. Must be installed before that exchange. */
export function filterMessages({ _protocol }: Ssh2Connection, rules: MessageRules): void {
  const onPayload = _protocol._onPayload;
  _protocol._onPayload = (payload) => {
    if (rules.isCut()) return undefined;
    // ssh2 takes an empty one for a sign of life.
    const type = payload[0] ?? IGNORE;
    if (!rules.isReady()) {
      return belongsBeforeReady(type, rules.role) ? onPayload(payload) : rules.kill('early_message');
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

/** What else comes is thrown away: late authentication (RFC 4252, 5.1: "silently ignored"), and what nobody knows. */
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

/** Only a server announces its host keys, and nobody here asked; without them the request is refused like any unknown one. RFC 4254, 4. */
function withoutHostKeys(payload: Buffer): Buffer {
  const reader = new SshReader(payload.subarray(1));
  const name = reader.string()?.toString('latin1');
  if (name !== HOST_KEYS || reader.bytes(1) === undefined) return payload;
  return payload.subarray(0, payload.length - reader.remaining);
}
