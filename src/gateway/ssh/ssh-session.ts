/** One connection on the public port, from its first packet to its last. */
import type { Duplex } from 'node:stream';
import type { AuthContext, Connection } from 'ssh2';
import type { Clock, Timer } from '../../shared/clock.ts';
import { FleetError } from '../../shared/errors.ts';
import type { Logger } from '../../shared/logger.ts';
import { OPEN_FAILURE, type OpenFailure } from '../../shared/ssh/guard-handlers.ts';
import { type ConnectionEnd, type GuardedConnection, hardenConnection } from '../../shared/ssh/harden-connection.ts';
import type { KeyConnection, KeyConnections } from '../../shared/ssh/key-connections.ts';
import type { SshLimits } from '../../shared/ssh/limits.ts';
import { openChannel } from '../../shared/ssh/open-channel.ts';
import type { RawChannel } from '../../shared/ssh/ssh2-internals.ts';
import { decideAuthentication, type Identity } from './authenticate.ts';
import type { PeerHandlers, SshPeer } from './ssh-peer.ts';

export interface SshSessionOptions {
  id: string;
  limits: SshLimits;
  clock: Clock;
  logger: Logger;
  /** Uniform in [0, 1). */
  random: () => number;
  keys: KeyConnections;
  /** The peer has authenticated; gives what it may do. */
  onPeer: (peer: SshPeer) => PeerHandlers;
}

export class SshSession {
  readonly #connection: Connection;
  readonly #options: SshSessionOptions;
  readonly #guarded: GuardedConnection;
  readonly #forwards = new Set<string>();
  #authEvents = 0;
  #identity: Identity | undefined;
  #handlers: PeerHandlers | undefined;
  #ofSameKey: ReadonlySet<KeyConnection> | undefined;
  /** Takes the channel that ssh2 is about to announce: `refuse` has decided on it in the same tick. */
  #acceptNext: ((channel: Duplex) => void) | undefined;
  #lifetime: Timer | undefined;

  /** Must run in ssh2's 'connection' event: the hardening has to be there before the next packet. */
  constructor(connection: Connection, options: SshSessionOptions) {
    this.#connection = connection;
    this.#options = options;
    this.#guarded = hardenConnection(connection, {
      ...options,
      role: 'server',
      isReady: () => this.#handlers !== undefined,
      isStranger: () => this.#handlers === undefined || this.#handlers.isStranger === true,
      maxChannels: () => this.#handlers?.maxChannels ?? 0,
      ofSameKey: () => this.#ofSameKey ?? [],
      refuse: (type, destination) => this.#refuse(type, destination),
    });
    connection.on('authentication', (context) => this.#onAuthentication(context));
    connection.once('ready', () => this.#onReady());
    void this.closed.then(() => this.#lifetime?.cancel());
  }

  get closed(): Promise<ConnectionEnd> {
    return this.#guarded.closed;
  }

  close(reason: string): void {
    this.#guarded.close(reason);
  }

  #onAuthentication(context: AuthContext): void {
    this.#authEvents += 1;
    if (this.#authEvents > this.#options.limits.maxAuthEvents) {
      this.#guarded.kill('auth_flood');
      return;
    }
    const decision = decideAuthentication(context);
    if (decision.kind === 'verified') this.#identity = decision.identity;
    if (decision.kind === 'rejected') context.reject(['publickey']);
    // Without a signature this answers "that key would do" (SSH_MSG_USERAUTH_PK_OK) and authenticates nobody.
    else context.accept();
  }

  #onReady(): void {
    if (this.#identity === undefined)
      throw new FleetError('internal', 'an ssh connection without an identity is ready');
    const peer = this.#createPeer(this.#identity);
    this.#ofSameKey = this.#options.keys.add(peer.publicKey, peer, this.closed);
    this.#run(() => {
      this.#handlers = this.#options.onPeer(peer);
    });
    const { lifetimeMs, onDirectTcpip } = this.#handlers ?? {};
    if (lifetimeMs !== undefined) {
      this.#lifetime = this.#options.clock.after(lifetimeMs, () => this.close('lifetime'), { unref: true });
    }
    // What nobody listens for, ssh2 refuses: sessions, streamlocal, X11, agents.
    if (onDirectTcpip !== undefined)
      this.#connection.on('tcpip', (accept) => this.#onDirectTcpip(accept() as RawChannel));
    this.#connection.on('request', (accept, reject, name, info) => {
      if (this.#decideRequest(name, info)) accept?.();
      else reject?.();
    });
  }

  #createPeer({ publicKey, user }: Identity): SshPeer & KeyConnection {
    const guarded = this.#guarded;
    const { _sock } = guarded.internals;
    return {
      id: this.#options.id,
      publicKey,
      user,
      remoteAddress: _sock.remoteAddress ?? '',
      connectedAt: this.#options.clock.now(),
      openForwarded: (host, port) => this.#openForwarded(host, port),
      close: (reason) => this.close(reason),
      cut: (reason) => guarded.cut(reason),
      get isOpen() {
        return guarded.isOpen;
      },
      get channelCount() {
        return guarded.channelCount;
      },
      get waitingBytes() {
        return guarded.waitingBytes;
      },
      closed: guarded.closed.then(({ reason }) => reason),
      get bytesIn() {
        return _sock.bytesRead;
      },
      get bytesOut() {
        return _sock.bytesWritten;
      },
    };
  }

  #openForwarded(host: string, port: number): Promise<Duplex> {
    if (this.#guarded.isOpen && !this.#forwards.has(forwardKey(host, port))) {
      return Promise.reject(
        new FleetError('channel_open_failed', `the peer did not ask for the forward ${forwardKey(host, port)}`),
      );
    }
    return openChannel(this.#guarded, (callback) =>
      this.#connection.forwardOut(host, port, '127.0.0.1', 0, callback as Parameters<Connection['forwardOut']>[4]),
    );
  }

  #refuse(type: string, destination: { host: string; port: number }): OpenFailure | undefined {
    if (type !== 'direct-tcpip') return OPEN_FAILURE.administrativelyProhibited;
    this.#acceptNext = undefined;
    this.#run(() => {
      this.#acceptNext = this.#handlers?.onDirectTcpip?.(destination);
    });
    return this.#acceptNext === undefined ? OPEN_FAILURE.administrativelyProhibited : undefined;
  }

  #onDirectTcpip(raw: RawChannel): void {
    const channel = this.#guarded.adopt(raw, true);
    this.#run(() => this.#acceptNext?.(channel));
  }

  #decideRequest(name: string, info: object): boolean {
    if (!('bindAddr' in info && 'bindPort' in info)) return false;
    const host = String(info.bindAddr);
    const port = Number(info.bindPort);
    const key = forwardKey(host, port);
    if (name === 'cancel-tcpip-forward') return this.#forwards.delete(key);
    // Port 0 asks us to choose one; there are no ports behind our forwards.
    if (name !== 'tcpip-forward' || port === 0) return false;
    if (this.#forwards.size >= this.#options.limits.maxForwards && !this.#forwards.has(key)) return false;
    let accepted = false;
    this.#run(() => {
      accepted = this.#handlers?.onForward?.({ host, port }) === true;
    });
    if (accepted) this.#forwards.add(key);
    return accepted;
  }

  /** Runs the owner's code: its defect ends this connection, and is told as what it is instead of as a broken packet. */
  #run(act: () => void): void {
    try {
      act();
    } catch (error) {
      this.#options.logger.error({ err: error }, 'handler of an ssh connection failed');
      this.#guarded.destroy('handler_failed');
    }
  }
}

function forwardKey(host: string, port: number): string {
  return `${host}:${port}`;
}
