/** Talks to a node process on this machine over its control socket. */
import http from 'node:http';
import type { Answer, CONTROL_ROUTES } from '../protocol/routes.ts';
import { FleetError, isNobodyListening, toFleetError } from '../shared/errors.ts';
import type { RequestOptions } from '../shared/http/request.ts';
import { requestAnswer } from './transport.ts';

/** All methods throw FleetError `not_running` when no process listens on the socket. */
export class NodeControlClient {
  readonly #options: { socketPath: string; profile: string };
  // A pooled connection would make a node that has gone look alive.
  readonly #agent = new http.Agent();

  readonly status = this.#call('GET /v1/status');
  /** Starts a clean shutdown of the process; commands on the node continue. */
  readonly shutdown = this.#call('POST /v1/shutdown');
  /** Gives the node a new key, now or at its next connect. */
  readonly rotateKey = this.#call('POST /v1/rotate-key');
  /** Removes the node from its gateway and ends the process. @throws FleetError `gateway_unreachable` without a tunnel. */
  readonly leave = this.#call('POST /v1/leave');

  constructor(options: { socketPath: string; profile: string }) {
    this.#options = options;
  }

  #call<K extends keyof typeof CONTROL_ROUTES>(route: K): () => Promise<Answer<K>> {
    return async () => {
      const { socketPath, profile } = this.#options;
      const [method, path] = route.split(' ') as [RequestOptions['method'], string];
      try {
        return await requestAnswer(route, { method, path, socketPath, agent: this.#agent });
      } catch (error) {
        const failure = toFleetError(error);
        if (!isNobodyListening(failure.cause)) throw failure;
        throw new FleetError('not_running', `node ${profile} is not running`, {
          hint: 'Start it: fleet node up',
          cause: error,
        });
      }
    };
  }
}
