/** The dialing end: one SSH connection from a node or an operator to a gateway, hardened against a hostile one. */
import { connect, type Socket } from 'node:net';
import type { PublicKeyAuthMethod, Client as SshClient } from 'ssh2';
import type { Clock } from '../../clock.ts';
import type { Logger } from '../../logger.ts';
import { CLIENT_ALGORITHMS, SSH_IDENT } from '../algorithms.ts';
import { resolveLimits, type SshLimits } from '../limits.ts';
import { Client } from '../patches/ssh2.ts';
import { parseOpenSshPrivateKey } from '../ssh-key.ts';
import { ClientConnection, type SshConnection } from './client-connection.ts';
import { connectFailure } from './connect-failure.ts';

/** TCP, SSH handshake and authentication together, ms. */
const CONNECT_TIMEOUT_MS = 10_000;
/** How much of a stranger's answer an error message shows. */
const FIRST_BYTES = 48;

export interface SshConnectOptions {
  host: string;
  port: number;
  user: string;
  /** OpenSSH text of an unencrypted Ed25519 key. */
  privateKey: string;
  /** Decides on the raw host key blob, before anything else is trusted. To refuse, throw a FleetError: connecting rejects with it. */
  verifyHostKey(blob: Buffer): void;
  /** TCP, SSH handshake and authentication together, ms; default 10 s. */
  connectTimeoutMs?: number;
  clock: Clock;
  logger: Logger;
  /** Ends the attempt, and later the connection. */
  signal?: AbortSignal;
  limits?: Partial<SshLimits>;
  /** Uniform in [0, 1). */
  random?: () => number;
}

/**
 * One attempt to connect; retrying is up to the caller.
 * @throws FleetError `config_invalid` for the key; `gateway_unreachable` when nobody answers, or something that is not a fleet
 * gateway; `timeout`; `forbidden` when the key is refused; `connection_lost` when aborted; and what `verifyHostKey` threw
 */
export async function connectSsh(options: SshConnectOptions): Promise<SshConnection> {
  parseOpenSshPrivateKey(options.privateKey);
  const { host, port, clock, logger, signal, connectTimeoutMs = CONNECT_TIMEOUT_MS, random = Math.random } = options;
  const limits = resolveLimits(options.limits);
  const hostKey = createHostKeyCheck(options.verifyHostKey);
  const client = new Client();
  const socket = connect({ host, port, noDelay: true, keepAlive: true });
  const observed = observe(socket);
  startHandshake(client, socket, options, limits, hostKey);
  const connection = new ClientConnection(client, { limits, clock, logger, random });
  const whenReady = new Promise<undefined>((resolve) =>
    client.once('ready', () => {
      // Nothing may be sent to an unverified gateway.
      if (hostKey.accepted === undefined) return connection.destroy('connect_failed');
      connection.start(hostKey.accepted);
      resolve(undefined);
    }),
  );
  // A failed attempt has no reason for a goodbye.
  client.once('error', () => connection.isReady() || connection.destroy('connect_failed'));
  const timer = clock.after(connectTimeoutMs, () => connection.destroy('connect_timeout'));
  const onAbort = (): void => (connection.isReady() ? connection.close('aborted') : connection.destroy('aborted'));
  signal?.addEventListener('abort', onAbort, { once: true });
  if (signal?.aborted) onAbort();
  const closed = connection.closed.finally(() => signal?.removeEventListener('abort', onAbort));

  const end = await Promise.race([closed, whenReady]);
  timer.cancel();
  if (end === undefined) return connection;
  const identified = connection.internals._remoteVer !== undefined;
  throw connectFailure({ ...observed, ...end, host, port, connectTimeoutMs, refusal: hostKey.refusal, identified });
}

/** Facts about an attempt, kept up to date by the socket's events. */
function observe(socket: Socket) {
  const observed = { connected: false, firstBytes: Buffer.alloc(0) as Buffer };
  socket.once('connect', () => {
    observed.connected = true;
  });
  socket.once('data', (chunk: Buffer) => {
    observed.firstBytes = chunk.subarray(0, FIRST_BYTES);
  });
  return observed;
}

function startHandshake(
  client: SshClient,
  socket: Socket,
  { user, privateKey }: SshConnectOptions,
  limits: SshLimits,
  hostKey: ReturnType<typeof createHostKeyCheck>,
): void {
  const method: PublicKeyAuthMethod = { type: 'publickey', username: user, key: privateKey };
  client.connect({
    sock: socket,
    ident: SSH_IDENT,
    algorithms: CLIENT_ALGORITHMS,
    // An explicit list skips the method `none`, which every server would count.
    authHandler: [method],
    username: user,
    // Without a verifier ssh2 accepts every key.
    hostVerifier: hostKey.verify,
    keepaliveInterval: limits.keepaliveIntervalMs,
    keepaliveCountMax: limits.keepaliveCountMax,
    // Our own deadline covers DNS and TCP as well.
    readyTimeout: 0,
  });
}

/** Asks the caller once, and requires the same key in every later key exchange. `refusal` is what the caller threw. */
function createHostKeyCheck(ask: (blob: Buffer) => void) {
  const check = {
    accepted: undefined as Buffer | undefined,
    refusal: undefined as unknown,
    verify: (blob: Buffer): boolean => {
      if (check.accepted !== undefined) return check.accepted.equals(blob);
      try {
        // A copy: ssh2 hands out a view of its packet buffer.
        const copy = Buffer.from(blob);
        ask(copy);
        check.accepted = copy;
        return true;
      } catch (error) {
        check.refusal = error;
        return false;
      }
    },
  };
  return check;
}
