/** A live connection to a gateway: channels out, forwards in. */
import type { Duplex } from 'node:stream';
import type { AcceptConnection, Client, RejectConnection, TcpConnectionDetails } from 'ssh2';
import type { Clock } from '../../clock.ts';
import { FleetError } from '../../errors.ts';
import { type GuardOptions, OPEN_FAILURE, type OpenFailure, type RawChannel } from '../patches/internals.ts';
import { connectionDown, GuardedConnection } from './guarded-connection.ts';

/** A connection as its owner sees it. */
export type SshConnection = Omit<
  ClientConnection,
  Exclude<keyof GuardedConnection, 'bytesIn' | 'bytesOut' | 'close'> | 'start'
>;

export class ClientConnection extends GuardedConnection {
  readonly closed = this.ended;
  /** Blob of the key that the gateway proved to have. */
  hostKey: Buffer = Buffer.alloc(0);
  localAddress = '';
  remoteAddress = '';
  readonly #client: Client;
  #silences: SilenceCounter | undefined;
  readonly #forwards = new Map<string, (channel: Duplex) => void>();

  /** Must run right after the client's `connect()`. */
  constructor(client: Client, options: Omit<GuardOptions, 'role'>) {
    super(client, { ...options, role: 'client' });
    this.#client = client;
    client.on('tcp connection', (details, accept, reject) => this.#onForwarded(details, accept, reject));
  }

  /** Call it when the connection is ready. */
  start(hostKey: Buffer): void {
    const { clock, limits } = this.options;
    const { _sock } = this.internals;
    this.hostKey = hostKey;
    this.localAddress = _sock.localAddress ?? '';
    this.remoteAddress = _sock.remoteAddress ?? '';
    const silences = new SilenceCounter(clock, limits.keepaliveIntervalMs);
    this.#silences = silences;
    // ssh2's client takes only answers to keepalives for life; on a slow line they queue behind megabytes of data.
    _sock.on('data', () => {
      this.internals._resetKA?.();
      silences.heard();
    });
  }

  override isReady(): boolean {
    return this.#silences !== undefined;
  }

  /** Its host key is verified before anything else. */
  override isStranger(): boolean {
    return false;
  }

  override maxChannels(): number {
    return this.options.limits.maxChannelsFromGateway;
  }

  override refuse(type: string): OpenFailure | undefined {
    return type === 'forwarded-tcpip' ? undefined : OPEN_FAILURE.administrativelyProhibited;
  }

  /** Keepalives so far that were not answered within an interval. */
  get lostKeepalives(): number {
    return this.#silences?.count ?? 0;
  }

  /** A `direct-tcpip` channel (RFC 4254, 7.2), as a socket that was dialed. @throws as {@link GuardedConnection.openChannel}. */
  openDirect(host: string, port: number): Promise<Duplex> {
    return this.openChannel((callback) =>
      this.#client.forwardOut('127.0.0.1', 0, host, port, callback as Parameters<Client['forwardOut']>[4]),
    );
  }

  /**
   * `tcpip-forward` (RFC 4254, 7.1): every channel that the gateway opens to exactly this name goes to `onChannel`, as an accepted socket.
   * @throws FleetError `forbidden` when the gateway refuses | `timeout` | `connection_lost`
   */
  forward(host: string, port: number, onChannel: (channel: Duplex) => void): Promise<void> {
    const key = `${host}:${port}`;
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    const { clock, limits } = this.options;
    const { openTimeoutMs } = limits;
    const timer = clock.after(openTimeoutMs, () =>
      reject(new FleetError('timeout', `no answer to a forward request within ${openTimeoutMs / 1000} s`)),
    );
    const onAnswer = (error: Error | undefined): void => {
      if (error === undefined) resolve();
      else if (!this.isOpen) reject(connectionDown(error));
      else reject(new FleetError('forbidden', `the gateway refused the forward ${key}`, { cause: error }));
    };
    this.#forwards.set(key, onChannel);
    try {
      this.#client.forwardIn(host, port, onAnswer);
    } catch (error) {
      reject(connectionDown(error));
    }
    promise.catch(() => this.#forwards.delete(key)).finally(() => timer.cancel());
    return promise;
  }

  #onForwarded({ destIP, destPort }: TcpConnectionDetails, accept: AcceptConnection, reject: RejectConnection): void {
    const onChannel = this.#forwards.get(`${destIP}:${destPort}`);
    if (onChannel === undefined) reject();
    else onChannel(this.adopt(accept() as RawChannel, true));
  }
}

/** Counts unanswered keepalives by the silences alone, which are what a user notices. */
export class SilenceCounter {
  readonly #clock: Clock;
  readonly #intervalMs: number;
  #heardAt: number;
  #count = 0;

  /** A keepalive is sent after `intervalMs` of silence, and again after each further one; 0 for none. */
  constructor(clock: Clock, intervalMs: number) {
    this.#clock = clock;
    this.#intervalMs = intervalMs;
    this.#heardAt = clock.monotonic();
  }

  /** Call it when bytes have arrived. */
  heard(): void {
    this.#count = this.count;
    this.#heardAt = this.#clock.monotonic();
  }

  /** Keepalives so far that were followed by a whole interval of silence. */
  get count(): number {
    if (!(this.#intervalMs > 0)) return this.#count;
    const silenceMs = this.#clock.monotonic() - this.#heardAt;
    return this.#count + Math.max(0, Math.floor(silenceMs / this.#intervalMs) - 1);
  }
}
