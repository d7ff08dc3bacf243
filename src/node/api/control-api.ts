/** The node's control socket, for `fleet node status|down` on the same machine. The folder's mode keeps other accounts out. */
import { chmodSync, rmSync } from 'node:fs';
import http from 'node:http';
import type { NodeStatusView, RotateKeyView, ShutdownAnswer } from '../../protocol/node-control.ts';
import { FleetError, httpStatusOf, systemErrorCode, toFleetError } from '../../shared/errors.ts';
import { SERVER_OPTIONS } from '../../shared/http/streams.ts';
import type { Logger } from '../../shared/logger.ts';

interface ControlApiOptions {
  socket: string;
  logger?: Logger;
  status(): NodeStatusView;
  shutdown(): void;
  /** Makes the gateway forget this node. @throws FleetError `gateway_unreachable`. */
  leave(): Promise<void>;
  reconnect(): void;
  rotateKey(): Promise<RotateKeyView>;
}

export class ControlApi {
  readonly #options: ControlApiOptions;
  readonly #server: http.Server;

  constructor(options: ControlApiOptions) {
    this.#options = options;
    this.#server = http.createServer(SERVER_OPTIONS, (request, response) => void this.#answer(request, response));
  }

  /** @throws FleetError `config_invalid` if the socket cannot be opened. */
  async start(): Promise<void> {
    const { socket, logger } = this.#options;
    rmSync(socket, { force: true });
    await new Promise<void>((resolve, reject) => {
      this.#server.once('error', (cause) =>
        reject(new FleetError('config_invalid', `cannot listen on ${socket}: ${systemErrorCode(cause)}`, { cause })),
      );
      this.#server.listen(socket, resolve);
    });
    chmodSync(socket, 0o600);
    // Such as too many open files; it recovers.
    this.#server.on('error', (error) => logger?.error({ err: error }, 'the control socket cannot accept a connection'));
  }

  close(): Promise<void> {
    return new Promise((resolve) => {
      this.#server.close(() => resolve());
      this.#server.closeAllConnections();
    });
  }

  async #answer({ method, url }: http.IncomingMessage, response: http.ServerResponse): Promise<void> {
    const { status, shutdown, leave, reconnect, rotateKey } = this.#options;
    const answer = (code: number, body: unknown): void => {
      response.writeHead(code, { 'content-type': 'application/json' }).end(JSON.stringify(body));
    };
    const end = (): void => {
      const body: ShutdownAnswer = { pid: process.pid };
      response.once('close', () => shutdown());
      answer(202, body);
    };
    try {
      switch (`${method} ${url}`) {
        case 'GET /v1/status':
          return answer(200, status());
        case 'POST /v1/reconnect':
          reconnect();
          return answer(202, {});
        case 'POST /v1/rotate-key':
          return answer(200, await rotateKey());
        case 'POST /v1/leave':
          await leave();
          return end();
        case 'POST /v1/shutdown':
          return end();
        default:
          throw new FleetError('not_found', 'no such route');
      }
    } catch (error) {
      const failure = toFleetError(error);
      answer(httpStatusOf(failure.code), { error: failure });
    }
  }
}
