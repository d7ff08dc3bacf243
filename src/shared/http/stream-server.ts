/** HTTP on any byte stream: an http.Server that is handed its connections instead of listening for them. */
import type http from 'node:http';
import type { Duplex } from 'node:stream';

/** A stream that has not sent a whole request head by then is closed, ms. */
export const FIRST_REQUEST_DEADLINE_MS = 10_000;
/** Largest request head, bytes. */
const MAX_HEADER_BYTES = 16 * 1024;

/** Options with which every http.Server of fleet is made. The client's side decides when an idle connection ends. */
export const SERVER_OPTIONS: http.ServerOptions = {
  keepAliveTimeout: 0,
  requestTimeout: 0,
  headersTimeout: FIRST_REQUEST_DEADLINE_MS,
  maxHeaderSize: MAX_HEADER_BYTES,
  noDelay: true,
};

/** Feeds streams to a server as its connections. Node checks request deadlines only on connections that it accepted itself, so this does. */
export class StreamAcceptor {
  readonly #server: http.Server;
  readonly #waiting = new Map<Duplex, NodeJS.Timeout>();

  constructor(server: http.Server) {
    this.#server = server;
    server.on('request', (request) => this.#forget(request.socket));
  }

  /** Serves `stream`; it is destroyed when its first request does not arrive within {@link FIRST_REQUEST_DEADLINE_MS}. */
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
