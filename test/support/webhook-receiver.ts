/** A real HTTP server on a port that the kernel chose, which takes webhooks and answers as the test says. */
import { once } from 'node:events';
import http from 'node:http';
import type { AddressInfo } from 'node:net';

export interface ReceivedWebhook {
  id: string;
  headers: http.IncomingHttpHeaders;
  /** As it was sent. */
  body: string;
  /** What it was answered. */
  status: number;
}

/** The body of a webhook, as far as tests look at it. */
export interface WebhookBody {
  type: string;
  data: { alert: string; rule: string; node: string; severity: string; summary: string; reason: string | null };
}

export class WebhookReceiver {
  readonly received: ReceivedWebhook[] = [];
  /** Status of the answer to the next request. */
  answer: (webhook: Omit<ReceivedWebhook, 'status'>) => number = () => 204;
  readonly #server = http.createServer(async (request, response) => {
    const chunks: Buffer[] = [];
    for await (const chunk of request as AsyncIterable<Buffer>) chunks.push(chunk);
    const webhook = {
      id: String(request.headers['webhook-id'] ?? ''),
      headers: request.headers,
      body: Buffer.concat(chunks).toString(),
    };
    const status = this.answer(webhook);
    this.received.push({ ...webhook, status });
    response.writeHead(status).end();
  });

  async listen(): Promise<this> {
    this.#server.listen(0, '127.0.0.1');
    await once(this.#server, 'listening');
    return this;
  }

  get url(): string {
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}/hook`;
  }

  /** Those that were taken, of one rule. */
  taken(rule: string): (WebhookBody & { id: string })[] {
    return this.received
      .filter(({ status }) => status < 300)
      .map(({ id, body }) => ({ id, ...(JSON.parse(body) as WebhookBody) }))
      .filter(({ data }) => data.rule === rule);
  }

  async close(): Promise<void> {
    this.#server.closeAllConnections();
    await new Promise((resolve) => this.#server.close(resolve));
  }
}
