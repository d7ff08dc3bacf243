/** The gateway of this machine: its Unix socket, whose file mode says who may. */
import http from 'node:http';
import { FleetError, isNobodyListening, systemErrorCode } from '../shared/errors.ts';
import type { GatewayTransport, Route } from './gateway-transport.ts';

export class UnixSocketTransport implements GatewayTransport {
  readonly #route: Route & { agent: http.Agent; socketPath: string };

  constructor(socketPath: string) {
    // The server name is for TLS only; without it Node compiles a large regular expression to find that out (5 ms of start).
    const agent = new http.Agent({ servername: '' } as http.AgentOptions);
    this.#route = { agent, socketPath };
  }

  route(): Route {
    return this.#route;
  }

  /** Nobody listening on the socket is another thing than a connection that broke. */
  explain(failure: FleetError): FleetError {
    const { socketPath } = this.#route;
    const code = systemErrorCode(failure.cause);
    // The latter two: the home is no folder.
    if (isNobodyListening(failure.cause) || code === 'ENOTDIR' || code === 'ELOOP') {
      return new FleetError('gateway_unreachable', `no gateway is running in this home (${socketPath})`, {
        hint: 'Start it: fleet gateway up',
        cause: failure,
      });
    }
    if (code === 'EACCES' || code === 'EPERM') {
      return new FleetError('forbidden', `the gateway's socket is not yours to use: ${socketPath}`, {
        hint: 'Use it as the user who runs the gateway.',
        cause: failure,
      });
    }
    return failure;
  }

  close(): void {
    this.#route.agent.destroy();
  }
}
