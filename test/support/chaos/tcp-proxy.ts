/** A bad network between nodes and gateway: a loopback proxy whose connections can be cut, or stand still, whenever one likes. */
import { type AddressInfo, connect, createServer, type Server, type Socket } from 'node:net';

interface Pair {
  near: Socket;
  far: Socket;
  stalled: boolean;
}

export class TcpProxy {
  readonly #server: Server;
  readonly #pairs = new Set<Pair>();
  readonly #timers = new Set<NodeJS.Timeout>();
  readonly #targetPort: () => number;
  readonly #localAddress: string | undefined;

  /**
   * @param targetPort on loopback; asked anew for every connection.
   * @param localAddress from which it dials, such as 127.1.2.3 where the system has all of 127.0.0.0/8 (Linux)
   */
  constructor(targetPort: () => number, localAddress?: string) {
    this.#targetPort = targetPort;
    this.#localAddress = localAddress;
    this.#server = createServer((near) => this.#accept(near));
  }

  /** Resolves with the port that it listens on. */
  async start(): Promise<number> {
    await new Promise<void>((resolve, reject) => {
      this.#server.once('error', reject);
      this.#server.listen(0, '127.0.0.1', resolve);
    });
    return (this.#server.address() as AddressInfo).port;
  }

  get connections(): number {
    return this.#pairs.size;
  }

  /** Ends every connection that `chosen` picks, both ways at once; what was on its way is lost. Returns how many. */
  cut(chosen: () => boolean): number {
    const pairs = [...this.#pairs].filter(chosen);
    for (const pair of pairs) this.#end(pair);
    return pairs.length;
  }

  /** Lets those connections stand still, as a half-open one does, and go on after `stallMs`, or end then. Returns how many. */
  stall(chosen: () => boolean, stallMs: number, then: 'resume' | 'cut'): number {
    const pairs = [...this.#pairs].filter((pair) => !pair.stalled && chosen());
    for (const pair of pairs) {
      pair.stalled = true;
      pair.near.unpipe(pair.far).pause();
      pair.far.unpipe(pair.near).pause();
    }
    const timer = setTimeout(() => {
      this.#timers.delete(timer);
      for (const pair of pairs) {
        if (!this.#pairs.has(pair)) continue;
        if (then === 'cut') this.#end(pair);
        else join(pair);
      }
    }, stallMs);
    this.#timers.add(timer);
    return pairs.length;
  }

  async close(): Promise<void> {
    for (const timer of this.#timers) clearTimeout(timer);
    for (const pair of this.#pairs) this.#end(pair);
    await new Promise<void>((resolve) => this.#server.close(() => resolve()));
  }

  #accept(near: Socket): void {
    const to = { port: this.#targetPort(), host: '127.0.0.1', noDelay: true };
    const far = connect(this.#localAddress === undefined ? to : { ...to, localAddress: this.#localAddress });
    const pair: Pair = { near: near.setNoDelay(true), far, stalled: false };
    this.#pairs.add(pair);
    for (const socket of [near, far]) {
      // An error is a broken connection like any other here: `close` follows it.
      socket.on('error', () => this.#end(pair));
      socket.once('close', () => this.#end(pair));
    }
    join(pair);
  }

  #end(pair: Pair): void {
    if (!this.#pairs.delete(pair)) return;
    // Not resetAndDestroy(): on a socket that is just being shut down, Node 24 then never ends the process.
    pair.near.destroy();
    pair.far.destroy();
  }
}

function join(pair: Pair): void {
  pair.stalled = false;
  pair.near.pipe(pair.far);
  pair.far.pipe(pair.near);
}
