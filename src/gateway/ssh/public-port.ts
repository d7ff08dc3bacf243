/** The gateway's public SSH port: admits sockets, and hands them to the SSH server. */
import { type AddressInfo, createServer, type Server, type Socket } from 'node:net';
import { FleetError, systemErrorCode } from '../../shared/errors.ts';
import { SshServer, type SshServerOptions } from '../../shared/ssh/server/ssh-server.ts';
import { AdmissionControl, PORT_LIMITS, type PortLimits } from './admission.ts';

/** Connections that may wait for us to accept them; a fleet comes back all at once. */
const LISTEN_BACKLOG = 1024;

export interface PublicPortOptions extends SshServerOptions {
  limits?: Partial<PortLimits>;
}

interface SshStats {
  /** Open TCP connections. */
  connections: number;
  /** Those of strangers: not authenticated, or with a key that nobody has paired. */
  unauthenticated: number;
  /** Refused over a limit, since the start. */
  refused: number;
  /** Cut because of what the peer did, by reason, since the start. `grace`: did not authenticate in time; `crowded`: had to make room. */
  killed: Record<string, number>;
}

export class PublicPort {
  readonly #logger: PublicPortOptions['logger'];
  readonly #admission: AdmissionControl;
  readonly #ssh: SshServer;
  readonly #tcp: Server;
  #refused = 0;
  #closing: Promise<void> | undefined;

  /** @throws FleetError `config_invalid` when the host key cannot be read */
  constructor(options: PublicPortOptions) {
    const limits = { ...PORT_LIMITS, ...options.limits };
    this.#logger = options.logger;
    this.#admission = new AdmissionControl(limits, () => options.clock.monotonic());
    this.#ssh = new SshServer(options);
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
    // Such as too many open files in accept(2); the port stays open.
    this.#tcp.on('error', (error) => this.#logger.error({ err: error }, 'ssh port failed to accept'));
    const address = this.#tcp.address() as AddressInfo;
    return { host: address.address, port: address.port };
  }

  /** Refuses new connections, says goodbye to the peers, and resolves when every socket is closed. Idempotent. */
  close(): Promise<void> {
    this.#closing ??= new Promise((resolve) => {
      this.#tcp.close(() => resolve());
      this.#ssh.close();
    });
    return this.#closing;
  }

  get stats(): SshStats {
    const { connections, unauthenticated } = this.#admission;
    return { connections, unauthenticated, refused: this.#refused, killed: this.#ssh.killed };
  }

  #onSocket(socket: Socket): void {
    // Until ssh2 listens, a reset would be an uncaught error; from then on ssh2 reports it as well.
    socket.on('error', (error) => this.#logger.debug({ err: error }, 'ssh socket error'));
    const evict = (): void => this.#ssh.drop(socket, 'crowded');
    const admission =
      this.#closing === undefined ? this.#admission.enter(socket.remoteAddress ?? '', evict) : undefined;
    if (admission === undefined) {
      this.#refused += 1;
      // A reset leaves nothing in the kernel. Only for a socket that has not ended: on another one it fails, and leaks it.
      socket.resetAndDestroy();
      return;
    }
    socket.once('close', admission.left);
    this.#ssh.accept(socket, admission.known);
  }
}

function listenFailure(host: string, port: number, cause: unknown): FleetError {
  const where = `${host}:${port}`;
  const code = systemErrorCode(cause) ?? '';
  const failure = (message: string, hint?: string) =>
    new FleetError(code === 'EADDRINUSE' ? 'conflict' : 'config_invalid', message, { cause, hint });
  if (code === 'EADDRINUSE')
    return failure(
      `${where} is in use by another process`,
      'Is a gateway already running? Otherwise choose another port.',
    );
  if (code === 'EACCES')
    return failure(
      `this user may not listen on ${where}`,
      'Ports below 1024 need root or CAP_NET_BIND_SERVICE; choose a higher one.',
    );
  if (['EADDRNOTAVAIL', 'ENOTFOUND', 'EAI_AGAIN'].includes(code))
    return failure(`${host} is not an address of this machine`, 'Listen on 0.0.0.0 or :: for all addresses.');
  return failure(`cannot listen on ${where}: ${cause instanceof Error ? cause.message : cause}`);
}
