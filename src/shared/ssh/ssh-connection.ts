/** The dialling end: one SSH connection from a node or an operator to a gateway, hardened against a hostile one. */
import { connect, type Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import type { PublicKeyAuthMethod, Client as SshClient } from 'ssh2';
import type { Clock } from '../clock.ts';
import type { Logger } from '../logger.ts';
import { CLIENT_ALGORITHMS, SSH_IDENT } from './algorithms.ts';
import { ClientConnection } from './client-connection.ts';
import { connectFailure } from './connect-failure.ts';
import { OPEN_FAILURE } from './guard-handlers.ts';
import { hardenConnection } from './harden-connection.ts';
import { HostKeyCheck } from './host-key-check.ts';
import { resolveLimits, type SshLimits } from './limits.ts';
import { parseOpenSshPrivateKey } from './ssh-key.ts';
import { Client } from './ssh2.ts';

/** TCP, SSH handshake and authentication together, ms. */
const CONNECT_TIMEOUT_MS = 10_000;
/** Of what a stranger says, this much goes into an error message. */
const FIRST_BYTES = 48;

export interface SshConnectOptions {
  host: string;
  port: number;
  user: string;
  /** OpenSSH text of an unencrypted Ed25519 key. */
  privateKey: string;
  /** Decides on the raw host key blob, before anything else is trusted. Throw a FleetError to refuse: connecting rejects with that very error. */
  verifyHostKey(blob: Buffer): void;
  /** TCP, SSH handshake and authentication together, ms; default 10 s. */
  connectTimeoutMs?: number;
  /** Default 10 s; see {@link SshLimits}. */
  keepaliveIntervalMs?: number;
  /** Default 2; see {@link SshLimits}. */
  keepaliveCountMax?: number;
  clock: Clock;
  logger: Logger;
  /** Ends the attempt, and later the connection. */
  signal?: AbortSignal;
  limits?: Partial<SshLimits>;
  /** Uniform in [0, 1). */
  random?: () => number;
}

export interface SshConnection {
  /** Blob of the key that the gateway proved to have. */
  readonly hostKey: Buffer;
  readonly localAddress: string;
  readonly remoteAddress: string;
  /**
   * A `direct-tcpip` channel (RFC 4254, 7.2), as a socket that was dialled.
   * @throws FleetError `channel_open_failed` | `timeout` | `connection_lost` | `busy`
   */
  openDirect(host: string, port: number): Promise<Duplex>;
  /**
   * `tcpip-forward` (RFC 4254, 7.1): every channel that the gateway opens to exactly this name goes to `onChannel`, as a socket that was accepted.
   * @throws FleetError `forbidden` when the gateway refuses | `timeout` | `connection_lost`
   */
  forward(host: string, port: number, onChannel: (channel: Duplex) => void): Promise<void>;
  /** Resolves, never rejects, when the socket is closed; all channels are destroyed by then. */
  readonly closed: Promise<{ reason: string; error?: Error }>;
  readonly bytesIn: number;
  readonly bytesOut: number;
  /** Keepalive intervals so far in which nothing came although the gateway was asked. */
  readonly lostKeepalives: number;
  /** Says goodbye, and destroys the socket at the latest after 2 s. Idempotent. */
  close(): void;
}

/**
 * One attempt to connect; the caller owns retrying.
 * @throws FleetError `config_invalid` for the key; `gateway_unreachable` when nobody answers, or something that is not a fleet
 * gateway; `timeout`; `forbidden` when the key is refused; `connection_lost` when aborted; and what `verifyHostKey` threw
 */
export async function connectSsh(options: SshConnectOptions): Promise<SshConnection> {
  parseOpenSshPrivateKey(options.privateKey);
  const { host, port, clock, logger, signal, connectTimeoutMs = CONNECT_TIMEOUT_MS, random = Math.random } = options;
  const limits = resolveLimits(options.limits);
  const hostKey = new HostKeyCheck(options.verifyHostKey);
  const client = new Client();
  const socket = connect({ host, port, noDelay: true, keepAlive: true });
  const observed = observe(client, socket);
  startHandshake(client, socket, options, limits, hostKey);
  const guarded = hardenConnection(client, {
    role: 'client',
    limits,
    clock,
    logger,
    random,
    isReady: () => observed.ready,
    // Its host key has been verified before anything else.
    isStranger: () => false,
    maxChannels: () => limits.maxChannelsFromGateway,
    refuse: (type) => (type === 'forwarded-tcpip' ? undefined : OPEN_FAILURE.administrativelyProhibited),
  });
  // A failed attempt has nothing to say goodbye for.
  client.once('error', () => observed.ready || guarded.destroy('connect_failed'));
  const timer = clock.after(connectTimeoutMs, () => guarded.destroy('connect_timeout'));
  const onAbort = (): void => (observed.ready ? guarded.close('aborted') : guarded.destroy('aborted'));
  signal?.addEventListener('abort', onAbort, { once: true });
  if (signal?.aborted) onAbort();
  const closed = guarded.closed.finally(() => signal?.removeEventListener('abort', onAbort));

  const end = await Promise.race([closed, observed.whenReady]);
  timer.cancel();
  if (end === undefined) {
    const intervalMs = options.keepaliveIntervalMs ?? limits.keepaliveIntervalMs;
    return new ClientConnection(client, guarded, { hostKey: hostKey.accepted, keepaliveIntervalMs: intervalMs });
  }
  const identified = guarded.internals._remoteVer !== undefined;
  const { reason, error } = end;
  throw connectFailure({
    ...observed,
    host,
    port,
    connectTimeoutMs,
    reason,
    error,
    refusal: hostKey.refusal,
    identified,
  });
}

/** Facts about an attempt, kept up to date by its events. */
function observe(client: SshClient, socket: Socket) {
  const { promise: whenReady, resolve } = Promise.withResolvers<undefined>();
  const observed = { connected: false, ready: false, firstBytes: Buffer.alloc(0) as Buffer, whenReady };
  socket.once('connect', () => {
    observed.connected = true;
  });
  socket.once('data', (chunk: Buffer) => {
    observed.firstBytes = chunk.subarray(0, FIRST_BYTES);
  });
  client.once('ready', () => {
    observed.ready = true;
    resolve(undefined);
  });
  return observed;
}

function startHandshake(
  client: SshClient,
  socket: Socket,
  { user, privateKey, keepaliveIntervalMs, keepaliveCountMax }: SshConnectOptions,
  limits: SshLimits,
  hostKey: HostKeyCheck,
): void {
  const method: PublicKeyAuthMethod = { type: 'publickey', username: user, key: privateKey };
  client.connect({
    sock: socket,
    ident: SSH_IDENT,
    algorithms: CLIENT_ALGORITHMS,
    // A given list skips the method `none`, which every server would count.
    authHandler: [method],
    username: user,
    // Without a verifier ssh2 accepts every key.
    hostVerifier: (blob: Buffer) => hostKey.verify(blob),
    keepaliveInterval: keepaliveIntervalMs ?? limits.keepaliveIntervalMs,
    keepaliveCountMax: keepaliveCountMax ?? limits.keepaliveCountMax,
    // Our own deadline covers DNS and TCP as well.
    readyTimeout: 0,
  });
}
