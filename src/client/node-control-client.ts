/** Speaks with a node process on this machine over its control socket. */
import http from 'node:http';
import type { Answers } from '../protocol/answers.ts';
import type { NodeStatusView, RotateKeyView, ShutdownAnswer } from '../protocol/node-control.ts';
import { FleetError, isNobodyListening, toFleetError } from '../shared/errors.ts';
import { requestAnswer } from './transport.ts';

/** All methods throw FleetError `not_running` when no process listens on the socket. */
export class NodeControlClient {
  readonly #socketPath: string;
  readonly #profile: string;
  // A kept connection would say that the node is still there after it has gone.
  readonly #agent = new http.Agent();

  constructor(options: { socketPath: string; profile: string }) {
    this.#socketPath = options.socketPath;
    this.#profile = options.profile;
  }

  status(): Promise<NodeStatusView> {
    return this.#request('nodeStatus', 'GET', '/v1/status');
  }

  /** Begins the orderly end of the process; commands that run on the node go on. */
  shutdown(): Promise<ShutdownAnswer> {
    return this.#request('shutdown', 'POST', '/v1/shutdown');
  }

  /** Gives the node a new key, at once or with its next connect. */
  rotateKey(): Promise<RotateKeyView> {
    return this.#request('nodeKey', 'POST', '/v1/rotate-key');
  }

  /** Has the gateway forget the node, and then ends the process. @throws FleetError `gateway_unreachable` without a tunnel. */
  leave(): Promise<ShutdownAnswer> {
    return this.#request('shutdown', 'POST', '/v1/leave');
  }

  async #request<K extends keyof Answers>(answer: K, method: 'GET' | 'POST', path: string): Promise<Answers[K]> {
    try {
      return await requestAnswer(answer, { method, path, socketPath: this.#socketPath, agent: this.#agent });
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
