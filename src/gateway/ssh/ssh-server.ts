/** The public SSH port: admits sockets, lets every Ed25519 key in, and leaves to its owner what a key may do. */
import { randomBytes } from 'node:crypto';
import { type AddressInfo, createServer, type Server as NetServer, type Socket } from 'node:net';
import type { Connection } from 'ssh2';
import { randomBase32 } from '../../shared/base32.ts';
import type { Clock, Timer } from '../../shared/clock.ts';
import { FleetError, systemErrorCode } from '../../shared/errors.ts';
import type { Logger } from '../../shared/logger.ts';
import { SERVER_ALGORITHMS, SSH_IDENT } from '../../shared/ssh/algorithms.ts';
import { KeyConnections } from '../../shared/ssh/key-connections.ts';
import { resolveLimits, type SshLimits } from '../../shared/ssh/limits.ts';
import { parseOpenSshPrivateKey } from '../../shared/ssh/ssh-key.ts';
import { Server } from '../../shared/ssh/ssh2.ts';
import { internalsOf } from '../../shared/ssh/ssh2-internals.ts';
import { type Admission, AdmissionControl } from './admission.ts';
import type { PeerHandlers, SshPeer } from './ssh-peer.ts';
import { SshSession } from './ssh-session.ts';

/** Connections that wait for us to accept them; a fleet comes back all at once. */
const LISTEN_BACKLOG = 1024;
/** 60 bits. */
const ID_LENGTH = 12;

export interface SshServerOptions {
  /** OpenSSH text of an unencrypted Ed25519 key. */
  hostKey: string;
  limits?: Partial<SshLimits>;
  clock: Clock;
  logger: Logger;
  /** Uniform in [0, 1). */
  random?: () => number;
  /** Takes every connection that has authenticated. */
  keys?: KeyConnections;
  /**
   * Called once per authenticated connection, synchronously, before any channel is served. Every valid Ed25519 key may
   * authenticate; what it may do is decided by the handlers.
   */
  onPeer(peer: SshPeer): PeerHandlers;
}

export interface SshServerStats {
  /** Open TCP connections. */
  connections: number;
  /** Of these, strangers: those that have not authenticated, or with a key that nobody has paired. */
  unauthenticated: number;
  /** Refused over a limit, since the start. */
  refused: number;
  /** Cut for what the peer did, by reason, since the start. `grace` is a peer that did not authenticate in time, `crowded` a stranger whose place another got. */
  killed: Record<string, number>;
}

interface AdmittedSocket {
  socket: Socket;
  admission: Admission;
  /** Ends a socket that does not authenticate. */
  grace: Timer;
  session?: SshSession;
}

export class SshServer {
  readonly #options: SshServerOptions;
  readonly #limits: Readonly<SshLimits>;
  readonly #admission: AdmissionControl;
  readonly #ssh: InstanceType<typeof Server>;
  readonly #tcp: NetServer;
  readonly #sockets = new Map<Socket, AdmittedSocket>();
  readonly #keys: KeyConnections;
  #refused = 0;
  #killed: Record<string, number> = {};
  #closing: Promise<void> | undefined;

  /** @throws FleetError `config_invalid` when the host key cannot be read */
  constructor(options: SshServerOptions) {
    parseOpenSshPrivateKey(options.hostKey);
    this.#options = options;
    this.#limits = resolveLimits(options.limits);
    this.#keys = options.keys ?? new KeyConnections();
    this.#admission = new AdmissionControl({ limits: this.#limits, now: () => options.clock.monotonic() });
    // Never listens: sockets are handed to it once they are admitted.
    this.#ssh = new Server({
      hostKeys: [options.hostKey],
      algorithms: SERVER_ALGORITHMS,
      ident: SSH_IDENT,
      keepaliveInterval: this.#limits.keepaliveIntervalMs,
      keepaliveCountMax: this.#limits.keepaliveCountMax,
    });
    this.#ssh.on('connection', (connection) => this.#onConnection(connection));
    this.#tcp = createServer({ noDelay: true, keepAlive: true }, (socket) => this.#onSocket(socket));
  }

  /**
   * Resolves with the address when the port is open; port 0 takes a free one.
   * @throws FleetError `conflict` when the port is taken, `config_invalid` when the address or port cannot be used
   */
  async listen(host: string, port: number): Promise<{ host: string; port: number }> {
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    this.#tcp.once('error', reject);
    this.#tcp.listen({ host, port, backlog: LISTEN_BACKLOG }, resolve);
    try {
      await promise;
    } catch (error) {
      throw listenFailure(host, port, error);
    } finally {
      this.#tcp.removeListener('error', reject);
    }
    // Such as too many open files at an accept; the port stays open.
    this.#tcp.on('error', (error) => this.#options.logger.error({ err: error }, 'ssh port failed to accept'));
    const address = this.#tcp.address() as AddressInfo;
    return { host: address.address, port: address.port };
  }

  /** Refuses new connections, says goodbye to the peers, and resolves when every socket is closed. Idempotent. */
  close(): Promise<void> {
    this.#closing ??= this.#shutDown();
    return this.#closing;
  }

  get stats(): SshServerStats {
    const { connections, unauthenticated } = this.#admission;
    return { connections, unauthenticated, refused: this.#refused, killed: { ...this.#killed } };
  }

  async #shutDown(): Promise<void> {
    const closed = new Promise<void>((resolve) => this.#tcp.close(() => resolve()));
    for (const { session, socket } of this.#sockets.values()) {
      if (session === undefined) socket.destroy();
      else session.close('server_closing');
    }
    await closed;
  }

  #onSocket(socket: Socket): void {
    // Before ssh2 listens, a reset would be an uncaught error; afterwards ssh2 reports it as well.
    socket.on('error', (error) => this.#options.logger.debug({ err: error }, 'ssh socket error'));
    const evict = (): void => this.#cutStranger(socket, 'crowded');
    const admission =
      this.#closing === undefined ? this.#admission.enter(socket.remoteAddress ?? '', evict) : undefined;
    if (admission === undefined) {
      this.#refused += 1;
      // A reset leaves nothing in the kernel. Only for a socket that nobody has ended: on another one it fails, and leaks it.
      socket.resetAndDestroy();
      return;
    }
    const grace = this.#options.clock.after(this.#limits.graceMs, () => this.#cutStranger(socket, 'grace'), {
      unref: true,
    });
    this.#sockets.set(socket, { socket, admission, grace });
    socket.once('close', () => {
      grace.cancel();
      admission.left();
      this.#sockets.delete(socket);
    });
    this.#ssh.injectSocket(socket);
  }

  /** Runs when the peer's identification line has come. */
  #onConnection(connection: Connection): void {
    const admitted = this.#sockets.get(internalsOf(connection)._sock);
    if (admitted === undefined)
      throw new FleetError('internal', 'an ssh connection over a socket that was not admitted');
    const { socket, admission, grace } = admitted;
    const id = randomBase32(ID_LENGTH, randomBytes);
    const { clock, logger, random = Math.random, onPeer } = this.#options;
    const session = new SshSession(connection, {
      id,
      limits: this.#limits,
      clock,
      logger: logger.child({ connection: id, address: socket.remoteAddress }),
      random,
      keys: this.#keys,
      onPeer: (peer) => {
        grace.cancel();
        const handlers = onPeer(peer);
        if (handlers.isStranger === true) return handlers;
        admission.known();
        this.#limitConnectionsOf(peer, handlers.maxConnections);
        return handlers;
      },
    });
    admitted.session = session;
    void session.closed.then(({ reason, killed }) => {
      if (killed) this.#countKill(reason);
    });
  }

  /** One key that somebody has paired must not take the places of all others. */
  #limitConnectionsOf(peer: SshPeer, ofItsKind = Number.POSITIVE_INFINITY): void {
    const most = Math.min(ofItsKind, this.#limits.maxConnectionsPerKey);
    if (this.#keys.count(peer.publicKey) <= most) return;
    this.#countKill('too_many_connections');
    peer.cut('too_many_connections');
  }

  #cutStranger(socket: Socket, reason: 'grace' | 'crowded'): void {
    this.#countKill(reason);
    socket.destroy();
  }

  #countKill(reason: string): void {
    this.#killed[reason] = (this.#killed[reason] ?? 0) + 1;
  }
}

function listenFailure(host: string, port: number, cause: unknown): unknown {
  const where = `${host}:${port}`;
  switch (systemErrorCode(cause)) {
    case 'EADDRINUSE':
      return new FleetError('conflict', `${where} is in use by another process`, {
        cause,
        hint: 'Is a gateway running already? Otherwise choose another port.',
      });
    case 'EACCES':
      return new FleetError('config_invalid', `${where} may not be opened by this user`, {
        cause,
        hint: 'Ports below 1024 need root or CAP_NET_BIND_SERVICE; choose a higher one.',
      });
    case 'EADDRNOTAVAIL':
    case 'ENOTFOUND':
    case 'EAI_AGAIN':
      return new FleetError('config_invalid', `${host} is not an address of this machine`, {
        cause,
        hint: 'Listen on 0.0.0.0 or :: for all addresses.',
      });
    default:
      return new FleetError(
        'config_invalid',
        `${where} cannot be opened: ${cause instanceof Error ? cause.message : cause}`,
        { cause },
      );
  }
}
