/** The way from a client to its gateway: a Unix socket here, or an SSH connection elsewhere. */

import http from 'node:http';
import type { Answer, AnsweredRoute } from '../protocol/routes.ts';
import { FleetError, isNobodyListening, systemErrorCode } from '../shared/errors.ts';
import { openRequest, type RequestOptions, readJson } from '../shared/http/request.ts';

/** Where a request goes, the proof of who asks, and who answers. */
type Route = Pick<RequestOptions, 'agent' | 'socketPath' | 'headers' | 'peer'>;

export interface GatewayTransport {
  /** Connects when there is no connection. @throws FleetError when there is no way now. */
  route(): Route | Promise<Route>;
  /** Gets a fresh token, where there are tokens. */
  renew?(): Promise<void>;
  /** In words that fit this way. */
  explain?(failure: FleetError): FleetError;
  /** Idempotent. */
  close(): void;
}

/** The gateway of this machine: its Unix socket, protected by the file mode. */
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

/** Largest answer of a route that lists nodes, runs or rows; bytes. */
const MAX_LARGE_ANSWER_BYTES = 64 * 1024 * 1024;

/** @throws FleetError what was answered; `protocol_unsupported` if that is not an answer of the route. */
export async function requestAnswer<K extends AnsweredRoute>(route: K, options: RequestOptions): Promise<Answer<K>> {
  const response = await openRequest(options);
  const { ANSWERS } = await import('../protocol/routes.ts');
  const { answer: schema, large } = ANSWERS[route];
  const maxAnswerBytes = options.maxAnswerBytes ?? (large ? MAX_LARGE_ANSWER_BYTES : undefined);
  return await readJson(response, { ...options, maxAnswerBytes }, schema);
}
