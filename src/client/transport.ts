/** The way from a client to its gateway: a Unix socket here, or an SSH connection elsewhere. */

import http from 'node:http';
import type { AnswerOf, Route, RouteName, Routes } from '../protocol/routes.ts';
import { FleetError, isNobodyListening, systemErrorCode } from '../shared/errors.ts';
import { type AnswerSchema, openRequest, type RequestOptions, readJson } from '../shared/http/request.ts';

/** What a request needs to go one way: where to, proof of who asks, and whose words the answers are. */
type Way = Pick<RequestOptions, 'agent' | 'socketPath' | 'headers' | 'peer'>;

export interface GatewayTransport {
  /** Connects when there is no connection. @throws FleetError when there is no way now. */
  route(): Way | Promise<Way>;
  /** Gets a fresh token, where there are tokens. */
  renew?(): Promise<void>;
  /** In words that fit this way. */
  explain?(failure: FleetError): FleetError;
  /** Idempotent. */
  close(): void;
}

/** The gateway of this machine: its Unix socket, whose file mode says who may. */
export class UnixSocketTransport implements GatewayTransport {
  readonly #route: Way & { agent: http.Agent; socketPath: string };

  constructor(socketPath: string) {
    // The server name is for TLS only; without it Node compiles a large regular expression to find that out (5 ms of start).
    const agent = new http.Agent({ servername: '' } as http.AgentOptions);
    this.#route = { agent, socketPath };
  }

  route(): Way {
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

/** Largest answer that lists nodes, runs or rows, bytes. */
const MAX_LIST_BYTES = 64 * 1024 * 1024;

/**
 * Sends a request and checks the answer against its route's schema, which is loaded only now.
 * @throws FleetError what was answered; `protocol_unsupported` if the answer does not fit.
 */
export async function requestAnswer<N extends RouteName>(
  name: N,
  options: RequestOptions,
): Promise<AnswerOf<Routes[N]>> {
  const response = await openRequest(options);
  const { NO_ANSWER, ROUTES } = await import('../protocol/routes.ts');
  const route: Route = ROUTES[name];
  const maxAnswerBytes = options.maxAnswerBytes ?? (route.isList ? MAX_LIST_BYTES : undefined);
  const answerSchema = (route.answer ?? NO_ANSWER) as AnswerSchema<AnswerOf<Routes[N]>>;
  return await readJson(response, { ...options, maxAnswerBytes }, answerSchema);
}
