/** HTTP over any byte stream, such as an SSH channel: a server that is handed its connections, and an agent that opens them. */
import http from 'node:http';
import type { Duplex } from 'node:stream';

/** A stream that has not sent a complete request head by then is closed, ms. */
export const FIRST_REQUEST_DEADLINE_MS = 10_000;
/** Largest request head, bytes. */
const MAX_HEADER_BYTES = 16 * 1024;
/** Idle channels kept for the next request; each costs the other side some kilobytes. */
const MAX_IDLE_CHANNELS = 8;

/** Options of every http.Server of fleet. The client decides when an idle connection ends. */
export const SERVER_OPTIONS: http.ServerOptions = {
  keepAliveTimeout: 0,
  requestTimeout: 0,
  headersTimeout: FIRST_REQUEST_DEADLINE_MS,
  maxHeaderSize: MAX_HEADER_BYTES,
  noDelay: true,
};

/** Feeds streams to a server as its connections. Node enforces request deadlines only on connections that it accepted itself, so this does. */
export class StreamAcceptor {
  readonly #server: http.Server;
  readonly #waiting = new Map<Duplex, NodeJS.Timeout>();

  constructor(server: http.Server) {
    this.#server = server;
    server.on('request', (request) => this.#forget(request.socket));
  }

  /** Serves `stream`, which has {@link FIRST_REQUEST_DEADLINE_MS} for its first request. */
  accept(stream: Duplex): void {
    const timer = setTimeout(() => stream.destroy(), FIRST_REQUEST_DEADLINE_MS);
    timer.unref();
    this.#waiting.set(stream, timer);
    stream.once('close', () => this.#forget(stream));
    this.#server.emit('connection', stream);
  }

  #forget(stream: Duplex): void {
    clearTimeout(this.#waiting.get(stream));
    this.#waiting.delete(stream);
  }
}

/** An agent that opens its connections with `open`, and pools them. */
export function createStreamAgent(open: () => Promise<Duplex>): http.Agent {
  // A server name is for TLS only; without it Node compiles a large regular expression to find that out (5 ms, once).
  const options = { keepAlive: true, maxFreeSockets: MAX_IDLE_CHANNELS, servername: '' };
  const agent = new http.Agent(options as http.AgentOptions);
  // Typed as net.Socket, but any Duplex that looks like one will do (nodejs.org/api/http.html, "agent.createConnection").
  agent.createConnection = ((_options: unknown, callback: (error: Error | null, stream?: Duplex) => void) => {
    open().then(
      (stream) => callback(null, stream),
      (error: Error) => callback(error),
    );
    return undefined;
  }) as unknown as http.Agent['createConnection'];
  return agent;
}
