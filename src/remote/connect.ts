/** One SSH connection of a person to a gateway, and the HTTP agent whose connections are its channels. */
import type http from 'node:http';
import { DEFAULT_GATEWAY_PORT, GATEWAY_API } from '../domain/limits.ts';
import { type Address, formatAddress, parseDialAddress } from '../shared/address.ts';
import type { Clock } from '../shared/clock.ts';
import { FleetError, toFleetError } from '../shared/errors.ts';
import { createStreamAgent } from '../shared/http/streams.ts';
import { silentLogger } from '../shared/logger.ts';
import type { SshConnection } from '../shared/ssh/connection/client-connection.ts';
import { connectSsh } from '../shared/ssh/connection/connect.ts';
import { formatFingerprint } from '../shared/ssh/ssh-key.ts';
import { describeForeign, shellQuote, trimPasted } from '../shared/text.ts';
import type { Login } from './logins.ts';

interface ConnectOptions {
  target: GatewayTarget;
  /** OpenSSH text. */
  privateKey: string;
  /** Throws for a host key that is not to be trusted. */
  verifyHostKey(shown: Buffer): void;
  clock: Clock;
}

export interface GatewayConnection {
  ssh: SshConnection;
  agent: http.Agent;
}

/** @throws FleetError `gateway_unreachable` whatever kept it from answering; what `verifyHostKey` throws; `config_invalid` for the key. */
export async function connect({
  target,
  privateKey,
  verifyHostKey,
  clock,
}: ConnectOptions): Promise<GatewayConnection> {
  const { user, address } = target;
  const ssh = await connectSsh({
    ...address,
    user,
    privateKey,
    verifyHostKey,
    clock,
    logger: silentLogger,
  }).catch((error: unknown) => {
    throw unreachable(toFleetError(error));
  });
  return { ssh, agent: createStreamAgent(() => openApi(ssh)) };
}

/** Only the pinned key will do. @throws FleetError `host_key_changed`. */
export function checkHostKey(shown: Buffer, login: Login): void {
  const pinned = Buffer.from(login.hostKey, 'base64');
  if (shown.equals(pinned)) return;
  const where = formatAddress(login.gateway);
  const facts = { shown: formatFingerprint(shown), pinned: formatFingerprint(pinned) };
  throw new FleetError(
    'host_key_changed',
    `${where} shows the host key ${facts.shown}, but ${facts.pinned} is pinned`,
    {
      hint: `Somebody may be in between. If the gateway was really set up again: fleet login ${shellQuote(where)} --code CODE`,
      facts,
    },
  );
}

/** To a person, no answer in time is one more way of not being there. */
function unreachable(error: FleetError): FleetError {
  if (error.code !== 'timeout') return error;
  return new FleetError('gateway_unreachable', error.message, {
    cause: error,
    hint: 'Check the address and the network.',
  });
}

/** A gateway that is shutting down refuses channels or stops answering: to the caller, the connection is lost. */
async function openApi(ssh: SshConnection): ReturnType<SshConnection['openDirect']> {
  try {
    return await ssh.openDirect(GATEWAY_API.host, GATEWAY_API.port);
  } catch (error) {
    const failure = toFleetError(error);
    if (failure.code !== 'channel_open_failed' && failure.code !== 'timeout') throw failure;
    ssh.close();
    throw new FleetError('connection_lost', `the gateway took no request: ${failure.message}`, { cause: error });
  }
}

/** The key alone identifies the person; the name only goes into the gateway's debug log. */
const DEFAULT_USER = 'fleet';

export interface GatewayTarget {
  user: string;
  address: Address;
}

/** @throws FleetError `usage`. */
export function parseTarget(pasted: string): GatewayTarget {
  const text = trimPasted(pasted);
  const at = text.lastIndexOf('@');
  const user = at < 0 ? DEFAULT_USER : text.slice(0, at);
  if (!/^[A-Za-z0-9_][A-Za-z0-9_.-]{0,31}$/.test(user)) {
    const foreign = describeForeign(user, /[A-Za-z0-9_.-]/);
    throw new FleetError(
      'usage',
      `not a user name: ${JSON.stringify(user)}${foreign === undefined ? '' : `: ${foreign}`}`,
      {
        hint: 'Write the gateway as host, user@host or user@host:port.',
      },
    );
  }
  if (at === text.length - 1) {
    throw new FleetError('usage', `not an address: ${JSON.stringify(text)}: no host after the @`, {
      hint: 'Write the gateway as host, user@host or user@host:port.',
    });
  }
  const address = parseDialAddress(text.slice(at + 1), DEFAULT_GATEWAY_PORT);
  return { user, address };
}
