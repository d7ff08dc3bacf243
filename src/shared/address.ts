/** Network addresses as people type them. */
import { isIPv6 } from 'node:net';
import { FleetError } from './errors.ts';

export interface Address {
  host: string;
  port: number;
}

/** `host`, `host:port`, `:port` (all interfaces), `1.2.3.4`, `::1`, `[::1]:22`. @throws FleetError `usage`. */
export function parseAddress(text: string, defaultPort: number): Address {
  const match = /^(?:\[([^[\]\s]+)\]|([^:[\]\s]*))(?::(\d{1,5}))?$/.exec(text);
  const v6 = match?.[1] ?? (isIPv6(text) ? text : undefined);
  const host = v6 === undefined || isIPv6(v6) ? (v6 ?? match?.[2]) : undefined;
  const port = match?.[3] === undefined ? defaultPort : Number(match[3]);
  if (host === undefined || port > 65_535 || (host === '' && match?.[3] === undefined) || host.startsWith('-')) {
    throw new FleetError('usage', `not an address: ${JSON.stringify(text)}`, {
      hint: 'Write it as host, host:port or [v6]:port.',
    });
  }
  return { host: host === '' ? '0.0.0.0' : host, port };
}

/** The text that {@link parseAddress} reads back. */
export function formatAddress({ host, port }: Address): string {
  return host.includes(':') ? `[${host}]:${port}` : `${host}:${port}`;
}
