/** A gateway that plays scripted answers on a real Unix socket in a folder of its own. */
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import http from 'node:http';
import { tmpdir } from 'node:os';
import path from 'node:path';
import type { JobEvent, JobView, RunView } from '../../src/protocol/job-messages.ts';
import type { NodeView } from '../../src/protocol/views.ts';

export interface SeenRequest {
  method: string;
  url: string;
  headers: http.IncomingHttpHeaders;
  /** JSON, or undefined. */
  body: unknown;
  bytes: Buffer;
}

export type Answer = (response: http.ServerResponse, request: SeenRequest) => void | Promise<void>;

export class FakeGateway {
  /** Short, because a Unix socket's path is. */
  readonly home = mkdtempSync(path.join(tmpdir(), 'fg-'));
  readonly socketPath = path.join(this.home, 'gateway.sock');
  readonly seen: SeenRequest[] = [];
  readonly #answers = new Map<string, Answer[]>();
  #server: http.Server | undefined;

  /** Queues answers for `GET /v1/nodes` and the like (without the query); the last one is used again and again. */
  on(route: string, ...answers: Answer[]): this {
    this.#answers.set(route, [...(this.#answers.get(route) ?? []), ...answers]);
    return this;
  }

  /** In place of all answers that were queued for the route. */
  answerWith(route: string, answer: Answer): this {
    this.#answers.delete(route);
    return this.on(route, answer);
  }

  async listen(): Promise<this> {
    this.#server = http.createServer((request, response) => void this.#handle(request, response));
    this.#server.listen(this.socketPath);
    await once(this.#server, 'listening');
    return this;
  }

  /** Drops every connection and the socket, as a killed process does. */
  async stop(): Promise<void> {
    const server = this.#server;
    this.#server = undefined;
    if (server === undefined) return;
    server.closeAllConnections();
    await new Promise((resolve) => server.close(resolve));
  }

  async close(): Promise<void> {
    await this.stop();
    rmSync(this.home, { recursive: true, force: true });
  }

  requestsTo(route: string): SeenRequest[] {
    return this.seen.filter(({ method, url }) => `${method} ${url.split('?')[0]}` === route);
  }

  async #handle(request: http.IncomingMessage, response: http.ServerResponse): Promise<void> {
    const chunks: Buffer[] = [];
    try {
      for await (const chunk of request as AsyncIterable<Buffer>) chunks.push(chunk);
    } catch {
      return; // The client hung up in the middle of its request.
    }
    const bytes = Buffer.concat(chunks);
    const isJson = request.headers['content-type'] === 'application/json';
    const seen: SeenRequest = {
      method: request.method ?? '',
      url: request.url ?? '',
      headers: request.headers,
      body: isJson ? JSON.parse(bytes.toString('utf8')) : undefined,
      bytes,
    };
    this.seen.push(seen);
    const answers = this.#answers.get(`${seen.method} ${seen.url.split('?')[0]}`) ?? [];
    const answer = answers.length > 1 ? answers.shift() : answers[0];
    if (answer === undefined) return fail(404, 'not_found', `no answer for ${seen.method} ${seen.url}`)(response, seen);
    await answer(response, seen);
  }
}

export function json(value: unknown, status = 200): Answer {
  return (response) => {
    response.writeHead(status, { 'content-type': 'application/json' });
    response.end(JSON.stringify(value));
  };
}

export function fail(
  status: number,
  code: string,
  message: string,
  hint?: string,
): (...args: Parameters<Answer>) => void {
  return (response) => {
    response.writeHead(status, { 'content-type': 'application/json' });
    response.end(JSON.stringify({ error: { code, message, hint } }));
  };
}

/** Events as NDJSON, and then the end of the stream. */
export function stream(...events: JobEvent[]): Answer {
  return (response) => {
    response.writeHead(200, { 'content-type': 'application/x-ndjson' });
    response.end(events.map((event) => `${JSON.stringify(event)}\n`).join(''));
  };
}

/** Events, and then the connection is cut. */
export function cutStream(...events: JobEvent[]): Answer {
  return (response) => {
    response.writeHead(200, { 'content-type': 'application/x-ndjson' });
    response.write(events.map((event) => `${JSON.stringify(event)}\n`).join(''), () => {
      setImmediate(() => response.destroy());
    });
  };
}

/** Events, and then silence; `more` adds to it later. */
export function openStream(
  ...events: JobEvent[]
): Answer & { more(...later: JobEvent[]): void; opened: Promise<void> } {
  const opened = Promise.withResolvers<void>();
  let open: http.ServerResponse | undefined;
  const write = (list: JobEvent[]): void => {
    for (const event of list) open?.write(`${JSON.stringify(event)}\n`);
    if (list.at(-1)?.type === 'done') open?.end();
  };
  const answer: Answer = (response) => {
    open = response;
    response.writeHead(200, { 'content-type': 'application/x-ndjson' });
    response.flushHeaders();
    write(events);
    opened.resolve();
  };
  return Object.assign(answer, { more: (...later: JobEvent[]) => write(later), opened: opened.promise });
}

export const JOB = 'abcdefghjkmn';

export function runView(change: Partial<RunView> = {}): RunView {
  const index = change.index ?? 0;
  return {
    run: `${JOB}.${index}`,
    job: JOB,
    index,
    node: `node-${index + 1}`,
    state: 'exited',
    exitCode: 0,
    signal: null,
    reason: null,
    queuedAt: '2026-01-01T00:00:00.000Z',
    deliveredAt: '2026-01-01T00:00:00.010Z',
    startedAt: '2026-01-01T00:00:00.020Z',
    endedAt: '2026-01-01T00:00:00.120Z',
    durationMs: 100,
    stdoutBytes: 0,
    stderrBytes: 0,
    truncated: false,
    ...change,
  };
}

export function nodeView(change: Partial<NodeView> = {}): NodeView {
  return {
    id: 'kcx3q1jy6z2b',
    name: 'node-1',
    status: 'online',
    labels: {},
    capabilities: [],
    lastSeenAt: null,
    connectedSince: null,
    rttMs: null,
    agentVersion: null,
    os: null,
    arch: null,
    hostname: null,
    ...change,
  };
}

export function jobView(...runs: RunView[]): JobView {
  const counts: JobView['counts'] = {};
  for (const { state } of runs) counts[state] = (counts[state] ?? 0) + 1;
  return {
    job: JOB,
    kind: 'shell',
    command: 'true',
    createdAt: '2026-01-01T00:00:00.000Z',
    createdBy: 'local',
    target: 'node-1',
    counts,
    runs,
  };
}

export function jobEvent(count = 1): JobEvent {
  const runs = Array.from({ length: count }, (_, index) => {
    return { run: `${JOB}.${index}`, index, node: `node-${index + 1}`, state: 'queued' as const };
  });
  return { type: 'job', job: JOB, runs };
}

export function stateEvent(state: RunView['state'], index = 0): JobEvent {
  const at = '2026-01-01T00:00:00.000Z';
  return { type: 'state', job: JOB, run: `${JOB}.${index}`, index, node: `node-${index + 1}`, state, at };
}

/** `next` counts as the log of the store does: five bytes of header a frame. */
export function dataEvent(type: 'stdout' | 'stderr', data: string | Buffer, next: number, index = 0): JobEvent {
  const encoded = typeof data === 'string' ? { data } : { data: data.toString('base64'), encoding: 'base64' as const };
  return { type, run: `${JOB}.${index}`, index, node: `node-${index + 1}`, next, ...encoded };
}

export function endEvent(change: Partial<RunView> = {}, next = 1000): JobEvent {
  return { type: 'end', next, ...runView(change) };
}

export const DONE: JobEvent = { type: 'done', job: JOB };
