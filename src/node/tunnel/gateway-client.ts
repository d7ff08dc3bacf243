/** The node's client of the gateway's API, over channels of its SSH connection. Every answer is validated and sets the clock. */
import type http from 'node:http';
import type { z } from 'zod';
import { GATEWAY_API } from '../../domain/limits.ts';
import { GATEWAY_PEER } from '../../protocol/gateway-peer.ts';
import type { Heartbeat } from '../../protocol/heartbeat.ts';
import * as messages from '../../protocol/node-messages.ts';
import type { Clock } from '../../shared/clock.ts';
import { requestJson } from '../../shared/http/request.ts';
import { createStreamAgent } from '../../shared/http/streams.ts';
import type { SshConnection } from '../../shared/ssh/connection/client-connection.ts';

export class GatewayClient {
  readonly connection: SshConnection;
  readonly #agent: http.Agent;
  readonly #clock: Clock;
  readonly #gatewayClock: GatewayClock;
  /** Sent with every request once it is set. */
  token: string | undefined;

  constructor(connection: SshConnection, clock: Clock, gatewayClock: GatewayClock) {
    this.connection = connection;
    this.#agent = createStreamAgent(() => connection.openDirect(GATEWAY_API.host, GATEWAY_API.port));
    this.#clock = clock;
    this.#gatewayClock = gatewayClock;
  }

  pairChallenge(request: messages.PairChallengeRequest): Promise<messages.PairChallengeAnswer> {
    return this.#post('/v1/pair/challenge', request, messages.pairChallengeAnswer);
  }

  pairVerify(request: messages.PairVerifyRequest): Promise<messages.PairVerifyAnswer> {
    return this.#post('/v1/pair/verify', request, messages.pairVerifyAnswer);
  }

  rotateKey(request: messages.RotateKeyRequest): Promise<messages.RotateKeyAnswer> {
    return this.#post('/v1/node/rotate-key', request, messages.rotateKeyAnswer);
  }

  hello(request: messages.NodeHelloRequest): Promise<messages.NodeHelloAnswer> {
    return this.#post('/v1/node/hello', request, messages.nodeHelloAnswer);
  }

  /** `rttMs` excludes the gateway's own work. */
  async heartbeat(beat: Heartbeat): Promise<messages.NodeHeartbeatAnswer & { rttMs: number }> {
    const sentAt = this.#clock.monotonic();
    // Gateways before 1.0 read `agent`.
    const message = { ...beat, agent: beat.node };
    const answer = await this.#post('/v1/node/heartbeat', message, messages.nodeHeartbeatAnswer);
    return { ...answer, rttMs: Math.max(0, this.#clock.monotonic() - sentAt - answer.tookMs) };
  }

  /** Makes the gateway forget this node and cut the tunnel. */
  async leave(): Promise<void> {
    await this.#post('/v1/node/leave', {}, messages.nodeLeaveAnswer);
  }

  /** Ends the connection, too. */
  close(): void {
    this.#agent.destroy();
    this.connection.close();
  }

  async #post<S extends z.ZodType>(path: string, body: unknown, schema: S): Promise<z.output<S>> {
    const sentAt = this.#clock.monotonic();
    const headers: Record<string, string> = this.token === undefined ? {} : { authorization: `Bearer ${this.token}` };
    const request = { agent: this.#agent, method: 'POST', path, body, headers, peer: GATEWAY_PEER } as const;
    const answer = await requestJson<z.output<S>>(request, schema);
    const { time } = answer as { time?: number };
    if (time !== undefined) this.#gatewayClock.set(time, this.#clock.monotonic() - sentAt);
    return answer;
  }
}

/** The gateway's time: set by each of its answers, continued by the monotonic clock. */
export class GatewayClock {
  readonly #clock: Clock;
  /** Gateway's time minus the monotonic clock, ms. */
  #offset: number | undefined;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** An answer that took `elapsedMs` said `gatewayMs`: presumably half of that ago. */
  set(gatewayMs: number, elapsedMs: number): void {
    this.#offset = gatewayMs + elapsedMs / 2 - this.#clock.monotonic();
  }

  /** Estimate, whole ms; the machine's own clock before the first answer. */
  now(): number {
    return this.#offset === undefined ? this.#clock.now() : Math.round(this.#offset + this.#clock.monotonic());
  }

  /** Own clock minus gateway's, ms; null before the first answer. */
  skewMs(): number | null {
    return this.#offset === undefined ? null : this.#clock.now() - this.now();
  }
}
