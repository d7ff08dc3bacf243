/** Strangers who come to the SSH port faster than anybody should, from as many addresses of loopback as they like. */
import { randomBytes } from 'node:crypto';
import { connect, type Socket } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { CLIENT_ALGORITHMS } from '../../src/shared/ssh/algorithms.ts';
import { Client } from '../../src/shared/ssh/patches/ssh2.ts';
import { newKeyText } from '../../test/gateway/ssh/fixtures.ts';

/** How often new connections are made, ms. */
const TICK_MS = 10;
const GARBAGE_BYTES = 1_000;
/** Making a key takes longer than using it. */
const KEYS = Array.from({ length: 50 }, newKeyText);

/** What becomes of a socket that is connected. */
export const KINDS = {
  /** Says nothing. */
  idle: () => {},
  /** Stops after its identification line. */
  'half-open': (socket: Socket) => void socket.write('SSH-2.0-flood\r\n'),
  garbage: (socket: Socket) =>
    void socket.write(Buffer.concat([Buffer.from('SSH-2.0-flood\r\n'), randomBytes(GARBAGE_BYTES)])),
  /** Authenticates with a key that nobody knows, and stays. */
  'auth-flood': (socket: Socket) => {
    const client = new Client();
    client.on('error', () => {});
    const privateKey = KEYS[Math.floor(Math.random() * KEYS.length)];
    client.connect({ sock: socket, username: 'flood', privateKey, algorithms: CLIENT_ALGORITHMS });
  },
} satisfies Record<string, (socket: Socket) => void>;

export type Kind = keyof typeof KINDS;

export interface FloodOptions {
  kind: Kind;
  port: number;
  addresses: readonly string[];
  /** Connections a second, all addresses together. */
  rate: number;
}

export class Flooder {
  readonly #options: FloodOptions;
  readonly #sockets = new Set<Socket>();
  readonly #over = new AbortController();
  #running: Promise<void> | undefined;
  #connections = 0;

  constructor(options: FloodOptions) {
    this.#options = options;
  }

  /** Those begun so far. */
  get connections(): number {
    return this.#connections;
  }

  start(): void {
    this.#running ??= this.#run();
  }

  /** Ends the flood and all that is left of it. Idempotent. */
  async stop(): Promise<void> {
    this.#over.abort();
    await this.#running;
    for (const socket of this.#sockets) socket.destroy();
  }

  async #run(): Promise<void> {
    const begun = performance.now();
    while (!this.#over.signal.aborted) {
      const due = ((performance.now() - begun) / 1000) * this.#options.rate;
      while (this.#connections < due) this.#connect();
      await sleep(TICK_MS);
    }
  }

  #connect(): void {
    const { kind, port, addresses } = this.#options;
    const localAddress = addresses[this.#connections % addresses.length] ?? '127.0.0.1';
    this.#connections += 1;
    const socket = connect({ host: '127.0.0.1', port, localAddress });
    this.#sockets.add(socket);
    // To be refused is what happens to most.
    socket.on('error', () => {});
    socket.once('close', () => this.#sockets.delete(socket));
    socket.once('connect', () => KINDS[kind](socket));
    socket.resume();
  }
}
