/** A live connection to a gateway: channels out, forwards in. */
import type { Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import type { AcceptConnection, Client, RejectConnection, TcpConnectionDetails } from 'ssh2';
import type { Clock } from '../../clock.ts';
import { FleetError } from '../../errors.ts';
import type { RawChannel } from '../patches/internals.ts';
import { connectionDown, type GuardedConnection } from './guarded-connection.ts';

export type SshConnection = Pick<ClientConnection, keyof ClientConnection>;

export class ClientConnection {
  /** Blob of the key that the gateway proved to have. */
  readonly hostKey: Buffer;
  readonly localAddress: string;
  readonly remoteAddress: string;
  /** Resolves, never rejects, when the socket is closed; all channels are destroyed by then. */
  readonly closed: Promise<{ reason: string; error?: Error }>;
  readonly #client: Client;
  readonly #guarded: GuardedConnection;
  readonly #socket: Socket;
  readonly #silences: SilenceCounter;
  readonly #forwards = new Map<string, (channel: Duplex) => void>();

  constructor(client: Client, guarded: GuardedConnection, hostKey: Buffer) {
    this.#client = client;
    this.#guarded = guarded;
    this.#socket = guarded.internals._sock;
    this.hostKey = hostKey;
    this.localAddress = this.#socket.localAddress ?? '';
    this.remoteAddress = this.#socket.remoteAddress ?? '';
    this.closed = guarded.closed.then(({ reason, error }) => (error === undefined ? { reason } : { reason, error }));
    client.on('tcp connection', (details, accept, reject) => this.#onForwarded(details, accept, reject));
    // ssh2's client takes only answers to keepalives for life; on a slow line they queue behind megabytes of data.
    const { clock, limits } = guarded.options;
    this.#silences = new SilenceCounter(clock, limits.keepaliveIntervalMs);
    this.#socket.on('data', () => {
      guarded.internals._resetKA?.();
      this.#silences.heard();
    });
  }

  /** Keepalives so far that were not answered within an interval. */
  get lostKeepalives(): number {
    return this.#silences.count;
  }

  get bytesIn(): number {
    return this.#socket.bytesRead;
  }

  get bytesOut(): number {
    return this.#socket.bytesWritten;
  }

  /** A `direct-tcpip` channel (RFC 4254, 7.2), as a socket that was dialled. @throws as {@link GuardedConnection.openChannel}. */
  openDirect(host: string, port: number): Promise<Duplex> {
    return this.#guarded.openChannel((callback) =>
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
    const { clock, limits } = this.#guarded.options;
    const { openTimeoutMs } = limits;
    const timer = clock.after(openTimeoutMs, () =>
      reject(new FleetError('timeout', `no answer to a forward request within ${openTimeoutMs / 1000} s`)),
    );
    const onAnswer = (error: Error | undefined): void => {
      if (error === undefined) resolve();
      else if (!this.#guarded.isOpen) reject(connectionDown(error));
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

  /** Says goodbye, and destroys the socket at the latest after 2 s. Idempotent. */
  close(): void {
    this.#guarded.close('local_close');
  }

  #onForwarded({ destIP, destPort }: TcpConnectionDetails, accept: AcceptConnection, reject: RejectConnection): void {
    const onChannel = this.#forwards.get(`${destIP}:${destPort}`);
    if (onChannel === undefined) reject();
    else onChannel(this.#guarded.adopt(accept() as RawChannel, true));
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
