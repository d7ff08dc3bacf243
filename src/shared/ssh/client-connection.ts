/** A live connection to a gateway: channels out, forwards in. */
import type { Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import type { AcceptConnection, Client, RejectConnection, TcpConnectionDetails } from 'ssh2';
import { FleetError } from '../errors.ts';
import type { GuardedConnection } from './harden-connection.ts';
import { openChannel } from './open-channel.ts';
import { SilenceCounter } from './silence-counter.ts';
import type { SshConnection } from './ssh-connection.ts';
import type { RawChannel } from './ssh2-internals.ts';

export interface ClientConnectionFacts {
  /** Blob of the key that the gateway proved to have. */
  hostKey: Buffer;
  keepaliveIntervalMs: number;
}

export class ClientConnection implements SshConnection {
  readonly hostKey: Buffer;
  readonly localAddress: string;
  readonly remoteAddress: string;
  readonly closed: Promise<{ reason: string; error?: Error }>;
  readonly #client: Client;
  readonly #guarded: GuardedConnection;
  readonly #socket: Socket;
  readonly #silences: SilenceCounter;
  readonly #forwards = new Map<string, (channel: Duplex) => void>();

  constructor(client: Client, guarded: GuardedConnection, { hostKey, keepaliveIntervalMs }: ClientConnectionFacts) {
    this.#client = client;
    this.#guarded = guarded;
    this.#socket = guarded.internals._sock;
    this.hostKey = hostKey;
    this.localAddress = this.#socket.localAddress ?? '';
    this.remoteAddress = this.#socket.remoteAddress ?? '';
    this.closed = guarded.closed.then(({ reason, error }) => (error === undefined ? { reason } : { reason, error }));
    client.on('tcp connection', (details, accept, reject) => this.#onForwarded(details, accept, reject));
    // ssh2's client counts only answers to keepalives as life; on a slow line they queue behind megabytes of data.
    this.#silences = new SilenceCounter(guarded.clock, keepaliveIntervalMs);
    this.#socket.on('data', () => {
      guarded.internals._resetKA?.();
      this.#silences.heard();
    });
  }

  get lostKeepalives(): number {
    return this.#silences.count;
  }

  get bytesIn(): number {
    return this.#socket.bytesRead;
  }

  get bytesOut(): number {
    return this.#socket.bytesWritten;
  }

  openDirect(host: string, port: number): Promise<Duplex> {
    return openChannel(this.#guarded, (callback) =>
      this.#client.forwardOut('127.0.0.1', 0, host, port, callback as Parameters<Client['forwardOut']>[4]),
    );
  }

  forward(host: string, port: number, onChannel: (channel: Duplex) => void): Promise<void> {
    const key = forwardKey(host, port);
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    const { openTimeoutMs } = this.#guarded.limits;
    const timer = this.#guarded.clock.after(openTimeoutMs, () =>
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

  close(): void {
    this.#guarded.close('local_close');
  }

  #onForwarded(details: TcpConnectionDetails, accept: AcceptConnection, reject: RejectConnection): void {
    const onChannel = this.#forwards.get(forwardKey(details.destIP, details.destPort));
    if (onChannel === undefined) reject();
    else onChannel(this.#guarded.adopt(accept() as RawChannel, true));
  }
}

function forwardKey(host: string, port: number): string {
  return `${host}:${port}`;
}

function connectionDown(cause: unknown): FleetError {
  return new FleetError('connection_lost', 'the SSH connection is down', { cause });
}
