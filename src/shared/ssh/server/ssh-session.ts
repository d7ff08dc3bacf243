/** One connection of a peer to a server, from its first packet to its last. */
import type { Duplex } from 'node:stream';
import type { AuthContext, Connection, PublicKeyAuthContext } from 'ssh2';
import type { Timer } from '../../clock.ts';
import { FleetError } from '../../errors.ts';
import { GuardedConnection } from '../connection/guarded-connection.ts';
import {
  type GuardOptions,
  OPEN_FAILURE,
  type OpenFailure,
  type RawChannel,
  type RawSession,
} from '../patches/internals.ts';
import { utils } from '../patches/ssh2.ts';
import { rawEd25519FromBlob } from '../ssh-key.ts';
import type { ChannelHandler, KeyConnection, KeyConnections, PeerAccess } from './peers.ts';

/** Longer user names are refused; they end up in logs. */
const MAX_USER_BYTES = 255;

interface SshSessionOptions extends Pick<GuardOptions, 'limits' | 'clock' | 'logger' | 'random'> {
  id: string;
  keys: KeyConnections;
  /** Called when the peer has authenticated; returns what it may open. */
  onPeer: (peer: SshPeer) => PeerAccess;
}

/** A session as its owner sees it. */
export type SshPeer = Omit<SshSession, Exclude<keyof GuardedConnection, 'bytesIn' | 'bytesOut' | 'close' | 'cut'>>;

export class SshSession extends GuardedConnection implements KeyConnection {
  /** Random. */
  readonly id: string;
  /** Resolves with the reason, never rejects, when the socket is closed; all channels are destroyed by then. */
  readonly closed: Promise<string>;
  /** Raw Ed25519 key, 32 bytes; its owner has signed this connection with it. Empty before that. */
  publicKey: Buffer = Buffer.alloc(0);
  /** User name that the peer gave; proves nothing. */
  user = '';
  remoteAddress = '';
  /** Wall clock, ms since the epoch. */
  connectedAt = 0;
  readonly #connection: Connection;
  readonly #keys: KeyConnections;
  readonly #onPeer: SshSessionOptions['onPeer'];
  readonly #forwards = new Set<string>();
  #authEvents = 0;
  #access: PeerAccess | undefined;
  #ofSameKey: Iterable<KeyConnection> = [];
  /** Takes the channel that ssh2 is about to announce: `refuse` has decided on it in the same tick. */
  #acceptNext: ChannelHandler | undefined;
  #lifetime: Timer | undefined;

  /** Must run in ssh2's 'connection' event: the guard has to be there before the next packet. */
  constructor(connection: Connection, { id, keys, onPeer, ...options }: SshSessionOptions) {
    super(connection, { ...options, role: 'server' });
    this.id = id;
    this.#connection = connection;
    this.#keys = keys;
    this.#onPeer = onPeer;
    this.closed = this.ended.then(({ reason }) => reason);
    connection.on('authentication', (context) => this.#onAuthentication(context));
    connection.once('ready', () => this.#onReady());
    void this.closed.then(() => this.#lifetime?.cancel());
  }

  override isReady(): boolean {
    return this.#access !== undefined;
  }

  override isStranger(): boolean {
    return this.#access === undefined || this.#access.isStranger === true;
  }

  override maxChannels(): number {
    return this.#access?.maxChannels ?? 0;
  }

  override ofSameKey(): Iterable<KeyConnection> {
    return this.#ofSameKey;
  }

  override refuse(type: string, destination: { host: string; port: number }): OpenFailure | undefined {
    const { direct, session, subsystem } = this.#access ?? {};
    this.#acceptNext = undefined;
    if (type === 'direct-tcpip') {
      this.#run(() => {
        this.#acceptNext = direct?.(destination);
      });
    }
    const isAllowed =
      this.#acceptNext !== undefined || (type === 'session' && (session !== undefined || subsystem !== undefined));
    return isAllowed ? undefined : OPEN_FAILURE.administrativelyProhibited;
  }

  /**
   * A `forwarded-tcpip` channel (RFC 4254, 7.2) on exactly what the peer requested with `tcpip-forward`, as a socket that was dialed.
   * @throws FleetError `channel_open_failed` when refused or never requested | `timeout` | `connection_lost` | `busy`
   */
  openForwarded(host: string, port: number): Promise<Duplex> {
    const name = `${host}:${port}`;
    if (this.isOpen && !this.#forwards.has(name)) {
      return Promise.reject(new FleetError('channel_open_failed', `the peer did not request the forward ${name}`));
    }
    return this.openChannel((callback) =>
      this.#connection.forwardOut(host, port, '127.0.0.1', 0, callback as Parameters<Connection['forwardOut']>[4]),
    );
  }

  #onAuthentication(context: AuthContext): void {
    this.#authEvents += 1;
    if (this.#authEvents > this.options.limits.maxAuthEvents) {
      this.kill('auth_flood');
      return;
    }
    const publicKey = verifiedKey(context);
    if (publicKey !== undefined && publicKey !== 'probe') {
      this.publicKey = publicKey;
      this.user = context.username;
    }
    if (publicKey === undefined) context.reject(['publickey']);
    // Without a signature this answers "that key would do" (SSH_MSG_USERAUTH_PK_OK) and authenticates nobody.
    else context.accept();
  }

  #onReady(): void {
    if (this.publicKey.length === 0) throw new FleetError('internal', 'an ssh connection without an identity is ready');
    this.connectedAt = this.options.clock.now();
    this.remoteAddress = this.internals._sock.remoteAddress ?? '';
    this.#ofSameKey = this.#keys.add(this.publicKey, this, this.closed);
    this.#run(() => {
      this.#access = this.#onPeer(this);
    });
    const { lifetimeMs, direct, session, subsystem } = this.#access ?? {};
    if (lifetimeMs !== undefined) {
      this.#lifetime = this.options.clock.after(lifetimeMs, () => this.close('lifetime'), { unref: true });
    }
    // ssh2 refuses what nobody listens for: streamlocal, X11, agents.
    if (direct !== undefined)
      this.#connection.on('tcpip', (accept) => this.#serve(accept() as RawChannel, this.#acceptNext));
    if (session !== undefined || subsystem !== undefined)
      this.#connection.on('session', (accept) => this.#onSession(accept() as unknown as RawSession));
    this.#connection.on('request', (accept, reject, name, info) => {
      if (this.#decideRequest(name, info)) accept?.();
      else reject?.();
    });
  }

  /** A session becomes a channel with its first program; ssh2 refuses pty, env and whatever else has no listener here. */
  #onSession(raw: RawSession): void {
    const start =
      (handlerOf: (info: { command?: string; name?: string }) => ChannelHandler | undefined) =>
      (accept: () => RawChannel | undefined, reject: (() => undefined) | undefined, info = {}): void => {
        let handler: ChannelHandler | undefined;
        this.#run(() => {
          handler = handlerOf(info);
        });
        const channel = handler === undefined ? reject?.() : accept();
        if (!channel) return;
        this.internals._chanMgr.update(channel.incoming.id, channel);
        this.#serve(channel, handler);
      };
    const program = start(({ command }) => this.#access?.session?.({ command }));
    raw.on('exec', program);
    raw.on('shell', program);
    raw.on(
      'subsystem',
      start(({ name = '' }) => this.#access?.subsystem?.(name)),
    );
    raw.once('close', () => this.closeUnused(raw));
  }

  #serve(raw: RawChannel, handler: ChannelHandler | undefined): void {
    const channel = this.adopt(raw, true);
    this.#run(() => handler?.(channel));
  }

  #decideRequest(type: string, info: object): boolean {
    if (!('bindAddr' in info && 'bindPort' in info)) return false;
    const host = String(info.bindAddr);
    const port = Number(info.bindPort);
    const name = `${host}:${port}`;
    if (type === 'cancel-tcpip-forward') return this.#forwards.delete(name);
    // Port 0 asks us to choose one; there are no ports behind our forwards.
    if (type !== 'tcpip-forward' || port === 0) return false;
    if (this.#forwards.size >= this.options.limits.maxForwards && !this.#forwards.has(name)) return false;
    let accepted = false;
    this.#run(() => {
      accepted = this.#access?.forward?.({ host, port }) === true;
    });
    if (accepted) this.#forwards.add(name);
    return accepted;
  }

  /** Runs the owner's code: its bug ends this connection, and is reported as such instead of as a malformed packet. */
  #run(act: () => void): void {
    try {
      act();
    } catch (error) {
      this.options.logger.error({ err: error }, 'handler of an ssh connection failed');
      this.destroy('handler_failed');
    }
  }
}

/**
 * The 32 bytes of the Ed25519 key that signed this authentication request; `probe` when the client only asks whether a key would do;
 * undefined to reject. Public key only, Ed25519 only (RFC 4252, 7).
 */
function verifiedKey(context: AuthContext): Buffer | 'probe' | undefined {
  if (context.method !== 'publickey' || Buffer.byteLength(context.username) > MAX_USER_BYTES) return undefined;
  const { key, hashAlgo, blob, signature } = context as PublicKeyAuthContext;
  // Both by its label, which is only the client's claim, and by its content.
  const publicKey = key.algo === 'ssh-ed25519' && hashAlgo === undefined ? rawEd25519FromBlob(key.data) : undefined;
  if (publicKey === undefined) return undefined;
  if (signature === undefined || blob === undefined) return 'probe';
  const parsed = utils.parseKey(key.data);
  if (parsed instanceof Error || !parsed.getPublicSSH().equals(key.data)) return undefined;
  // Exactly true: ssh2 returns an Error, which is truthy, when it cannot verify at all.
  return parsed.verify(blob, signature) === true ? publicKey : undefined;
}
