/** A gateway whose SSH port is real and whose API answers what a test wants, to nodes and to people; every key may come in. */
import http from 'node:http';
import type { Duplex } from 'node:stream';
import type { TestContext } from 'node:test';
import { NODE_FORWARD } from '../../src/domain/limits.ts';
import { openRequest, type RequestOptions } from '../../src/shared/http/request.ts';
import { createStreamAgent } from '../../src/shared/http/streams.ts';
import { sshPublicKeyBlob } from '../../src/shared/ssh/ssh-key.ts';
import { startServer, type TestServer } from '../gateway/ssh/fixtures.ts';
import { type Answer, failure } from './hostile-answers.ts';
import { cleanUp } from './temp-folder.ts';

export class HostileGateway {
  /** `METHOD PATH` (without the query) to its answer; the others get `otherwise`. */
  readonly answers = new Map<string, Answer>();
  otherwise: Answer = failure('not_found', 'nothing here', undefined, 404);
  readonly requests: string[] = [];
  server!: TestServer;
  readonly #http = http.createServer((request, response) => {
    const route = `${request.method} ${request.url?.split('?')[0]}`;
    this.requests.push(route);
    const answer = this.answers.get(route) ?? this.otherwise;
    answer(request, response as http.ServerResponse & { req: http.IncomingMessage });
  });

  static async start(t: TestContext): Promise<HostileGateway> {
    const gateway = new HostileGateway();
    gateway.server = await startServer({
      direct: () => (channel: Duplex) => void gateway.#http.emit('connection', channel),
      forward: () => true,
    });
    cleanUp(t, async () => {
      gateway.#http.closeAllConnections();
      await gateway.server.server.close();
    });
    return gateway;
  }

  get port(): number {
    return this.server.port;
  }

  /** Wire format, base64: what a node or person pins. */
  get hostKey(): string {
    return sshPublicKeyBlob(this.server.hostKey.publicKey).toString('base64');
  }

  /** Any request to the API of the node that connected last. */
  call(t: TestContext, options: Omit<RequestOptions, 'agent'>): Promise<http.IncomingMessage> {
    const peer = this.server.peers.at(-1);
    if (peer === undefined) throw new Error('no node has connected');
    const agent = createStreamAgent(() => peer.openForwarded(NODE_FORWARD.host, NODE_FORWARD.port));
    cleanUp(t, () => agent.destroy());
    return openRequest({ ...options, agent });
  }
}
