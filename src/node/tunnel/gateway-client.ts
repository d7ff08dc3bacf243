/** The node's side of the gateway's API, over channels of the one SSH connection. Every answer is checked and sets the clock. */
import type http from 'node:http';
import type { z } from 'zod';
import { GATEWAY_API } from '../../domain/limits.ts';
import { GATEWAY_PEER } from '../../protocol/gateway-peer.ts';
import type { Heartbeat } from '../../protocol/heartbeat.ts';
import {
  type NodeHeartbeatAnswer,
  type NodeHelloAnswer,
  type NodeHelloRequest,
  nodeHeartbeatAnswer,
  nodeHelloAnswer,
  nodeLeaveAnswer,
  type PairChallengeAnswer,
  type PairChallengeRequest,
  type PairVerifyAnswer,
  type PairVerifyRequest,
  pairChallengeAnswer,
  pairVerifyAnswer,
  type RotateKeyAnswer,
  type RotateKeyRequest,
  rotateKeyAnswer,
} from '../../protocol/node-messages.ts';
import type { Clock } from '../../shared/clock.ts';
import { requestJson } from '../../shared/http/request.ts';
import { createStreamAgent } from '../../shared/http/streams.ts';
import type { SshConnection } from '../../shared/ssh/connection/client-connection.ts';

export class GatewayClient {
  readonly #agent: http.Agent;
  readonly #clock: Clock;
  readonly #gatewayClock: GatewayClock;
  /** Sent with every request once it is set. */
  token: string | undefined;

  constructor(connection: Pick<SshConnection, 'openDirect'>, clock: Clock, gatewayClock: GatewayClock) {
    this.#agent = createStreamAgent(() => connection.openDirect(GATEWAY_API.host, GATEWAY_API.port));
    this.#clock = clock;
    this.#gatewayClock = gatewayClock;
  }

  pairChallenge(request: PairChallengeRequest): Promise<PairChallengeAnswer> {
    return this.#post('/v1/pair/challenge', request, pairChallengeAnswer);
  }

  pairVerify(request: PairVerifyRequest): Promise<PairVerifyAnswer> {
    return this.#post('/v1/pair/verify', request, pairVerifyAnswer);
  }

  rotateKey(request: RotateKeyRequest): Promise<RotateKeyAnswer> {
    return this.#post('/v1/node/rotate-key', request, rotateKeyAnswer);
  }

  hello(request: NodeHelloRequest): Promise<NodeHelloAnswer> {
    return this.#post('/v1/node/hello', request, nodeHelloAnswer);
  }

  /** Resolves with the round trip, ms, without the gateway's own work. */
  async heartbeat(beat: Heartbeat): Promise<NodeHeartbeatAnswer & { rttMs: number }> {
    const sentAt = this.#clock.monotonic();
    const answer = await this.#post('/v1/node/heartbeat', beat, nodeHeartbeatAnswer);
    return { ...answer, rttMs: Math.max(0, this.#clock.monotonic() - sentAt - answer.tookMs) };
  }

  /** Has the gateway forget this node; it cuts the tunnel then. */
  async leave(): Promise<void> {
    await this.#post('/v1/node/leave', {}, nodeLeaveAnswer);
  }

  close(): void {
    this.#agent.destroy();
  }

  async #post<S extends z.ZodType>(path: string, body: unknown, schema: S): Promise<z.output<S>> {
    const sentAt = this.#clock.monotonic();
    const headers: Record<string, string> = {};
    if (this.token !== undefined) headers.authorization = `Bearer ${this.token}`;
    const request = { agent: this.#agent, method: 'POST', path, body, headers, peer: GATEWAY_PEER } as const;
    const answer = await requestJson<z.output<S>>(request, schema);
    const { time } = answer as { time?: number };
    if (time !== undefined) this.#gatewayClock.set(time, this.#clock.monotonic() - sentAt);
    return answer;
  }
}

/** The gateway's time as the node knows it: every answer of the gateway sets it, the monotonic clock carries it on. */
export class GatewayClock {
  readonly #clock: Clock;
  #reference: { gatewayMs: number; monotonicMs: number } | undefined;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** The gateway said `gatewayMs` in an answer that took `elapsedMs` to come: half of that ago. */
  set(gatewayMs: number, elapsedMs: number): void {
    this.#reference = { gatewayMs: gatewayMs + elapsedMs / 2, monotonicMs: this.#clock.monotonic() };
  }

  /** Best guess of the gateway's clock, whole ms; the own clock before the first answer. */
  now(): number {
    if (this.#reference === undefined) return this.#clock.now();
    return Math.round(this.#reference.gatewayMs + this.#clock.monotonic() - this.#reference.monotonicMs);
  }

  /** Own clock minus the gateway's, ms; null before the first answer. */
  skewMs(): number | null {
    return this.#reference === undefined ? null : this.#clock.now() - this.now();
  }
}
