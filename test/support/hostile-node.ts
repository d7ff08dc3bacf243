/** A paired node whose tunnel is real and whose API answers what a test wants: give it an `answer`, or say anything with `client`. */
import http from 'node:http';
import type { TestContext } from 'node:test';
import { GATEWAY_API } from '../../src/domain/limits.ts';
import type { OpenTunnel } from '../../src/node/tunnel/connect-once.ts';
import { requestJson } from '../../src/shared/http/request.ts';
import { createStreamAgent } from '../../src/shared/http/streams.ts';
import { beat, type TestGateway, TestMachine } from '../node/tunnel/real-gateway.ts';
import { type Answer, json } from './hostile-answers.ts';
import { cleanUp } from './temp-folder.ts';

export class HostileNode {
  readonly machine: TestMachine;
  readonly name: string;
  /** Answers every request of the gateway. */
  answer: Answer = json({});
  /** `METHOD PATH` of each request of the gateway. */
  readonly requests: string[] = [];
  tunnel!: OpenTunnel;
  readonly #gateway: TestGateway;
  readonly #agents: http.Agent[] = [];
  readonly #server = http.createServer((request, response) => {
    this.requests.push(`${request.method} ${request.url}`);
    this.answer(request, response as http.ServerResponse & { req: http.IncomingMessage });
  });

  private constructor(t: TestContext, gateway: TestGateway, name: string) {
    this.machine = new TestMachine(t);
    this.name = name;
    this.#gateway = gateway;
    cleanUp(t, () => this.#server.closeAllConnections());
  }

  /** Paired, connected, and online unless told otherwise. */
  static async join(t: TestContext, gateway: TestGateway, name: string, { online = true } = {}): Promise<HostileNode> {
    const node = new HostileNode(t, gateway, name);
    const code = await gateway.invite({ name });
    node.tunnel = await node.machine.open(gateway.port, {
      code,
      serveApi: (channel) => void node.#server.emit('connection', channel),
    });
    cleanUp(t, () => node.#agents.forEach((agent) => void agent.destroy()));
    if (online) await node.tunnel.client.heartbeat(beat());
    return node;
  }

  /** Any request to the gateway's API over the tunnel, with the node's token: past all that an honest node checks. */
  say(path: string, body: unknown): Promise<unknown> {
    const agent = createStreamAgent(() => this.tunnel.connection.openDirect(GATEWAY_API.host, GATEWAY_API.port));
    this.#agents.push(agent);
    const headers = { authorization: `Bearer ${this.tunnel.client.token}` };
    return requestJson({ agent, method: 'POST', path, body, headers });
  }

  /** A command for this node; resolves with the job's id. */
  async submit(command = 'true'): Promise<string> {
    const body = { kind: 'shell', command, target: { node: this.name } };
    return (await this.#gateway.api<{ job: string }>('POST', '/v1/jobs', body)).job;
  }
}
