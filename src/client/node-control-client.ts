/** Client of the control socket of a node process on this machine. */
import http from 'node:http';
import type { AnswerOf, ControlRoutes } from '../protocol/routes.ts';
import { FleetError, isNobodyListening, toFleetError } from '../shared/errors.ts';
import { openRequest, readJson } from '../shared/http/request.ts';

/** All methods throw FleetError `not_running` when no process listens on the socket. */
export class NodeControlClient {
  readonly #socketPath: string;
  readonly #profile: string;
  // A kept connection would make a node that has exited look alive.
  readonly #agent = new http.Agent();

  constructor(options: { socketPath: string; profile: string }) {
    this.#socketPath = options.socketPath;
    this.#profile = options.profile;
  }

  status() {
    return this.#request('GET /v1/status');
  }

  /** Begins an orderly shutdown; commands on the node continue. */
  shutdown() {
    return this.#request('POST /v1/shutdown');
  }

  /** Gives the node a new key, now or at its next connect. */
  rotateKey() {
    return this.#request('POST /v1/rotate-key');
  }

  /** Has the gateway forget the node, and then ends the process. @throws FleetError `gateway_unreachable` without a tunnel. */
  leave() {
    return this.#request('POST /v1/leave');
  }

  async #request<N extends keyof ControlRoutes>(name: N): Promise<AnswerOf<ControlRoutes[N]>> {
    const [method, path = ''] = name.split(' ') as ['GET' | 'POST', string];
    const options = { method, path, socketPath: this.#socketPath, agent: this.#agent };
    try {
      const response = await openRequest(options);
      const { CONTROL_ROUTES } = await import('../protocol/routes.ts');
      const { answer: answerSchema } = CONTROL_ROUTES[name];
      return (await readJson<unknown>(response, options, answerSchema)) as AnswerOf<ControlRoutes[N]>;
    } catch (error) {
      const failure = toFleetError(error);
      if (!isNobodyListening(failure.cause)) throw failure;
      throw new FleetError('not_running', `node ${this.#profile} is not running`, {
        hint: 'Start it: fleet node up',
        cause: error,
      });
    }
  }
}
