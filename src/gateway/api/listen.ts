/** HTTP servers in front of the API: on the Unix socket, and on a TCP port. */
import http from 'node:http';
import { FleetError, systemErrorCode } from '../../shared/errors.ts';
import type { App } from '../../shared/http/fastify-app.ts';
import { SERVER_OPTIONS } from '../../shared/http/streams.ts';
import type { Logger } from '../../shared/logger.ts';

export function serverFor(app: App, logger: Logger): http.Server {
  const server = http.createServer(SERVER_OPTIONS, (request, response) => app.routing(request, response));
  // Such as too many open files; the server continues.
  server.once('listening', () =>
    server.on('error', (error) => logger.error({ err: error }, 'the API failed to accept')),
  );
  return server;
}

/** Resolves when `listen` has made the server listen. @throws FleetError `conflict`, `config_invalid`; `what` is the address. */
export async function listening(server: http.Server, listen: () => void, what: string): Promise<void> {
  await new Promise<void>((resolve, reject) => {
    server.once('error', (error) => {
      const code = systemErrorCode(error) === 'EADDRINUSE' ? 'conflict' : 'config_invalid';
      reject(new FleetError(code, `cannot listen on ${what}: ${systemErrorCode(error)}`, { cause: error }));
    });
    server.once('listening', resolve);
    listen();
  });
}

/** Event streams are cut; their readers reconnect and resume. */
export function closeServer(server: http.Server): Promise<void> {
  return new Promise((resolve) => {
    server.close(() => resolve());
    server.closeAllConnections();
  });
}
