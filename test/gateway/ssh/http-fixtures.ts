/** node:http over SSH channels: a server that takes channels, an agent that opens them, and bodies with a digest. */
import { createHash, randomBytes } from 'node:crypto';
import { once } from 'node:events';
import http from 'node:http';
import { type Duplex, Readable } from 'node:stream';

export function channelAgent(
  open: () => Promise<Duplex>,
  options: http.AgentOptions = { keepAlive: true },
): http.Agent {
  const agent = new http.Agent(options);
  agent.createConnection = ((_options: unknown, callback: (error: Error | null, stream?: Duplex) => void) => {
    open().then(
      (stream) => callback(null, stream),
      (error: Error) => callback(error),
    );
    return undefined;
  }) as unknown as http.Agent['createConnection'];
  return agent;
}

export function sha256(data: Uint8Array): string {
  return createHash('sha256').update(data).digest('hex');
}

export interface Exchange {
  status: number;
  body: Buffer;
  reused: boolean;
}

/** One request with an optional body. */
export async function exchange(agent: http.Agent, path: string, body?: Uint8Array): Promise<Exchange> {
  const method = body === undefined ? 'GET' : 'POST';
  const request = http.request({ agent, path, method, host: 'fleet' });
  if (body === undefined) request.end();
  else Readable.from(slices(body)).pipe(request);
  const [response] = (await once(request, 'response')) as [http.IncomingMessage];
  const chunks: Buffer[] = [];
  for await (const chunk of response) chunks.push(chunk as Buffer);
  return { status: response.statusCode ?? 0, body: Buffer.concat(chunks), reused: request.reusedSocket };
}

function* slices(body: Uint8Array): Generator<Uint8Array> {
  for (let start = 0; start < body.length; start += 65_536) yield body.subarray(start, start + 65_536);
}

export const TWENTY_MEGABYTES = 20 * 1000 * 1000;

/**
 * `POST /digest` answers the SHA-256 of the body; `GET /bytes` gives 20 MB and their digest in a header; `GET /hang` never
 * answers; `GET /endless` writes for ever, with back-pressure, and counts; everything else says hello.
 */
export function createTestHttpServer() {
  const state = { endlessBytes: 0, aborted: 0, timeouts: 0 };
  const blob = randomBytes(TWENTY_MEGABYTES);
  const digest = sha256(blob);
  const server = http.createServer((request, response) => {
    response.on('close', () => {
      if (!response.writableFinished) state.aborted += 1;
    });
    if (request.url === '/digest') {
      const hash = createHash('sha256');
      request.on('data', (chunk: Buffer) => hash.update(chunk));
      request.on('end', () => response.end(hash.digest('hex')));
    } else if (request.url === '/bytes') {
      response.setHeader('x-sha256', digest);
      Readable.from(slices(blob)).pipe(response);
    } else if (request.url === '/endless') {
      const write = (): void => {
        const chunk = Buffer.alloc(65_536);
        do state.endlessBytes += chunk.length;
        while (response.write(chunk));
      };
      response.on('drain', write);
      write();
    } else if (request.url !== '/hang') {
      response.end(`hello ${request.url}`);
    }
  });
  return { server, state, digest, accept: (channel: Duplex): void => void server.emit('connection', channel) };
}
