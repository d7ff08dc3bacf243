/** An SSH server without a port: lets every Ed25519 key in on the sockets that it is given, and leaves to its owner what a key may open. */
import { randomBytes } from 'node:crypto';
import type { Socket } from 'node:net';
import type { Connection } from 'ssh2';
import { randomBase32 } from '../../base32.ts';
import type { Clock, Timer } from '../../clock.ts';
import { FleetError } from '../../errors.ts';
import type { Logger } from '../../logger.ts';
import { SERVER_ALGORITHMS, SSH_IDENT } from '../algorithms.ts';
import { resolveLimits, type SshLimits } from '../limits.ts';
import { internalsOf } from '../patches/internals.ts';
import { Server } from '../patches/ssh2.ts';
import { parseOpenSshPrivateKey } from '../ssh-key.ts';
import { KeyConnections, type PeerAccess } from './peers.ts';
import { type SshPeer, SshSession } from './ssh-session.ts';

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
  /** Receives every authenticated connection. */
  keys?: KeyConnections;
  /** Called once per authenticated connection, synchronously, before any channel is served. */
  onPeer(peer: SshPeer): PeerAccess;
}

interface Accepted {
  /** Ends a socket that does not authenticate. */
  grace: Timer;
  /** Called when the peer has authenticated with a key that its owner knows. */
  onKnown: () => void;
  session?: SshSession;
}

export class SshServer {
  readonly #options: SshServerOptions;
  readonly #limits: SshLimits;
  readonly #ssh: InstanceType<typeof Server>;
  readonly #sockets = new Map<Socket, Accepted>();
  readonly #keys: KeyConnections;
  readonly #killed: Record<string, number> = {};

  /** @throws FleetError `config_invalid` when the host key cannot be read */
  constructor(options: SshServerOptions) {
    parseOpenSshPrivateKey(options.hostKey);
    this.#options = options;
    this.#limits = resolveLimits(options.limits);
    this.#keys = options.keys ?? new KeyConnections();
    // Never listens.
    this.#ssh = new Server({
      hostKeys: [options.hostKey],
      algorithms: SERVER_ALGORITHMS,
      ident: SSH_IDENT,
      keepaliveInterval: this.#limits.keepaliveIntervalMs,
      keepaliveCountMax: this.#limits.keepaliveCountMax,
    });
    this.#ssh.on('connection', (connection) => this.#onConnection(connection));
  }

  /** Serves a socket that has an 'error' listener. */
  accept(socket: Socket, onKnown: () => void = () => {}): void {
    const { graceMs } = this.#limits;
    const grace = this.#options.clock.after(graceMs, () => this.drop(socket, 'grace'), { unref: true });
    this.#sockets.set(socket, { grace, onKnown });
    socket.once('close', () => {
      grace.cancel();
      this.#sockets.delete(socket);
    });
    this.#ssh.injectSocket(socket);
  }

  /** Destroys a socket whose peer is not known, and counts it as killed. */
  drop(socket: Socket, reason: string): void {
    this.#countKill(reason);
    socket.destroy();
  }

  /** Says goodbye to the peers. */
  close(): void {
    for (const [socket, { session }] of this.#sockets) {
      if (session === undefined) socket.destroy();
      else session.close('server_closing');
    }
  }

  /** Connections cut because of what the peer did, by reason, since the start. */
  get killed(): Record<string, number> {
    return { ...this.#killed };
  }

  /** Called when the peer's identification line has come. */
  #onConnection(connection: Connection): void {
    const socket = internalsOf(connection)._sock;
    const accepted = this.#sockets.get(socket);
    if (accepted === undefined) throw new FleetError('internal', 'an ssh connection over an unknown socket');
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
        accepted.grace.cancel();
        const access = onPeer(peer);
        if (access.isStranger === true) return access;
        accepted.onKnown();
        this.#limitConnectionsOf(peer, access.maxConnections);
        return access;
      },
    });
    accepted.session = session;
    void session.ended.then(({ reason, killed }) => {
      if (killed) this.#countKill(reason);
    });
  }

  /** One known key must not take the places of all others. */
  #limitConnectionsOf(peer: SshPeer, ofItsKind = Number.POSITIVE_INFINITY): void {
    const most = Math.min(ofItsKind, this.#limits.maxConnectionsPerKey);
    if (this.#keys.count(peer.publicKey) <= most) return;
    this.#countKill('too_many_connections');
    peer.cut('too_many_connections');
  }

  #countKill(reason: string): void {
    this.#killed[reason] = (this.#killed[reason] ?? 0) + 1;
  }
}
