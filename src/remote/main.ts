/** Loaded by the command line for a gateway on another machine: login and transport. */
import { systemClock } from '../shared/clock.ts';
import { FleetError } from '../shared/errors.ts';
import { parseTarget } from './connect.ts';
import type { LoginOptions, LoginResult } from './login.ts';
import { Logins } from './logins.ts';
import { RemoteTransport } from './transport.ts';

/** The way to `gateway`, `[user@]host[:port]`. Nothing is dialled before the first request. @throws FleetError `usage`, `not_paired`. */
export function openRemote({ home, gateway }: { home: string; gateway: string }): RemoteTransport {
  return new RemoteTransport({ home, target: parseTarget(gateway), clock: systemClock });
}

export async function login(options: Omit<LoginOptions, 'clock'>): Promise<LoginResult> {
  // Loads schemas, which `fleet run` does not need.
  const module = await import('./login.ts');
  return await module.login({ ...options, clock: systemClock });
}

/** Forgets a gateway, the default one if none is named; resolves with its address. The gateway still knows the key. */
export function logout({ home, gateway }: { home: string; gateway: string | undefined }): string {
  const logins = new Logins(home);
  const text = gateway ?? logins.default;
  if (text === undefined) throw new FleetError('not_found', 'you are not logged in to any gateway');
  const { address } = parseTarget(text);
  if (!logins.remove(address)) throw new FleetError('not_found', `you are not logged in to ${text}`);
  return text;
}
