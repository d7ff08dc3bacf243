/** The node's control socket: what `fleet node status|down` on the same machine ask. The folder's mode keeps others out. */

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
  /** Has the gateway forget this node. @throws FleetError when it could not be told. */
  leave(): Promise<void>;
  reconnect(): void;
  rotateKey(): Promise<RotateKeyView>;
}

interface ControlApi {
  close(): Promise<void>;
}

/** A handful of routes does not need a framework. */
export async function openControlApi(options: ControlApiOptions): Promise<ControlApi> {
  const server = http.createServer(SERVER_OPTIONS, (request, response) => {
    const answer = (status: number, body: unknown): void => {
      response.writeHead(status, { 'content-type': 'application/json' }).end(JSON.stringify(body));
    };
    const end = (): void => {
      const body: ShutdownAnswer = { pid: process.pid };
      response.once('close', () => options.shutdown());
      answer(202, body);
    };
    const refuse = (error: unknown): void => {
      const failure = toFleetError(error);
      answer(httpStatusOf(failure.code), { error: failure });
    };
    switch (`${request.method} ${request.url}`) {
      case 'GET /v1/status':
        return answer(200, options.status());
      case 'POST /v1/reconnect':
        options.reconnect();
        return answer(202, {});
      case 'POST /v1/rotate-key':
        return void options.rotateKey().then((view) => answer(200, view), refuse);
      case 'POST /v1/leave':
        return void options.leave().then(end, refuse);
      case 'POST /v1/shutdown':
        return end();
      default:
        return answer(404, { error: new FleetError('not_found', 'no such route') });
    }
  });
  rmSync(options.socket, { force: true });
  await new Promise<void>((resolve, reject) => {
    server.once('error', (error) => {
      reject(
        new FleetError('config_invalid', `cannot listen on ${options.socket}: ${systemErrorCode(error)}`, {
          cause: error,
        }),
      );
    });
    server.listen(options.socket, resolve);
  });
  chmodSync(options.socket, 0o600);
  // Such as too many open files at an accept; it goes on.
  server.on('error', (error) => options.logger?.error({ err: error }, 'the control socket failed to accept'));
  return {
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
}
