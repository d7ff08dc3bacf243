/** The way from a client to its gateway: a Unix socket here, or an SSH connection elsewhere. */

import http from 'node:http';
import type { Answers } from '../protocol/answers.ts';
import { FleetError, isNobodyListening, systemErrorCode } from '../shared/errors.ts';
import { openRequest, type RequestOptions, readJson } from '../shared/http/request.ts';

/** What a request needs to go one way: where to, proof of who asks, and whose words the answers are. */
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

/** The gateway of this machine: its Unix socket, whose file mode says who may. */
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

/** Largest answer that lists nodes, runs or rows: a gateway has thousands of them; bytes. */
const MAX_LIST_BYTES = 64 * 1024 * 1024;
const LISTS: ReadonlySet<keyof Answers> = new Set([
  'alerts',
  'auditPage',
  'firings',
  'health',
  'invites',
  'job',
  'jobPage',
  'keys',
  'nodes',
  'pendingList',
  'schedules',
  'silences',
]);

/** @throws FleetError what was answered; `protocol_unsupported` when that is not what was asked for. */
export async function requestAnswer<K extends keyof Answers>(answer: K, options: RequestOptions): Promise<Answers[K]> {
  const response = await openRequest(options);
  const { ANSWERS } = await import('../protocol/answers.ts');
  const maxAnswerBytes = options.maxAnswerBytes ?? (LISTS.has(answer) ? MAX_LIST_BYTES : undefined);
  return (await readJson<unknown>(response, { ...options, maxAnswerBytes }, ANSWERS[answer])) as Answers[K];
}
