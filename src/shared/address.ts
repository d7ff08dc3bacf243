/** Network addresses as people type them. */
import { isIPv6 } from 'node:net';
import { FleetError } from './errors.ts';
import { describeForeign, trimPasted } from './text.ts';

export interface Address {
  host: string;
  port: number;
}

/** Includes letters of other scripts (RFC 5890), `_service` names and zones of IPv6. */
const HOST_CHARACTER = /[\p{L}\p{N}\p{M}._%:[\]-]/u;

/** `host`, `host:port`, `:port` (all interfaces), `1.2.3.4`, `::1`, `[::1]:22`. @throws FleetError `usage`. */
export function parseAddress(pasted: string, defaultPort: number): Address {
  const text = trimPasted(pasted);
  const foreign = describeForeign(text, HOST_CHARACTER);
  if (foreign !== undefined) throw notAnAddress(text, foreign);
  if (/^\d+$/.test(text))
    throw notAnAddress(text, 'it is only a number', `Write a port as :${text} (all interfaces) or HOST:${text}.`);
  const match = /^(?:\[([^[\]\s]+)\]|([^:[\]\s]*))(?::(\d{1,5}))?$/.exec(text);
  const v6 = match?.[1] ?? (isIPv6(text) ? text : undefined);
  const host = v6 === undefined || isIPv6(v6) ? (v6 ?? match?.[2]) : undefined;
  const port = match?.[3] === undefined ? defaultPort : Number(match[3]);
  if (host === undefined || port > 65_535 || (host === '' && match?.[3] === undefined) || host.startsWith('-')) {
    throw notAnAddress(text);
  }
  return { host: host === '' ? '0.0.0.0' : host, port };
}

/** An address that others can dial: neither all interfaces nor port 0. @throws FleetError `usage`. */
export function parseDialAddress(pasted: string, defaultPort: number): Address {
  const address = parseAddress(pasted, defaultPort);
  if (address.port !== 0 && address.host !== '0.0.0.0' && !/^[0:]+$/.test(address.host)) return address;
  throw new FleetError('usage', `not an address that can be dialed: ${JSON.stringify(trimPasted(pasted))}`, {
    hint: 'Name the host, as host, host:port or [v6]:port.',
  });
}

function notAnAddress(text: string, why?: string, hint = 'Write it as host, host:port or [v6]:port.'): FleetError {
  const reason = why === undefined ? '' : `: ${why}`;
  return new FleetError('usage', `not an address: ${JSON.stringify(text)}${reason}`, { hint });
}

/** The text that {@link parseAddress} reads back. */
export function formatAddress({ host, port }: Address): string {
  return host.includes(':') ? `[${host}]:${port}` : `${host}:${port}`;
}

/** Identifies an address in limits per address: an IPv6 customer has a whole /64 (RFC 4291, 2.5.4). */
export function addressKey(address: string): string {
  const [bare = ''] = address.split('%');
  if (!isIPv6(bare) || bare.includes('.')) return address;
  const [head = '', tail] = bare.split('::');
  const before = head === '' ? [] : head.split(':');
  const after = tail === undefined || tail === '' ? [] : tail.split(':');
  const zeros = tail === undefined ? 0 : 8 - before.length - after.length;
  const groups = [...before, ...Array.from({ length: zeros }, () => '0'), ...after];
  return groups
    .slice(0, 4)
    .map((group) => Number.parseInt(group, 16).toString(16))
    .join(':');
}
