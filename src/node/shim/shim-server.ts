/**
 * The shim's side of the socket: one node's process at a time, and none for as long as that takes to come back.
 *
 * A newer connection ends the older one before anything else happens, so that an order which its sender did not live to see answered
 * is either carried out already, and told by `hello`, or never will be.
 */
import { chmodSync, statSync } from 'node:fs';
import { createServer, type Server, type Socket } from 'node:net';
import { StringDecoder } from 'node:string_decoder';
import { type Clock, Periodic, type Timer } from '../../shared/clock.ts';
import { boundLogLine, type Logger } from '../../shared/logger.ts';
import {
  SHIM_PROTOCOL,
  type ShimEvent,
  type ShimReply,
  type ShimRequest,
  type ShimState,
  StartFailure,
} from './messages.ts';
import type { Supervisor } from './supervisor.ts';

/** A node's process that was killed is given so long to be started again before an idle shim goes, ms. */
const LINGER_MS = 10_000;
/** The same when there are ends that nobody has recorded yet: they are kept for a node that is repaired or restarted by hand. */
const LINGER_WITH_ENDS_MS = 24 * 3_600_000;

/** Interval between checks whether the socket can still be found, while no node is connected, ms. */
const REACH_INTERVAL_MS = 5_000;
/** So many of them in a row must fail: somebody may be renaming a folder. */
const MISSES = 2;

interface ShimServerOptions {
  /** Random. */
  shim: string;
  supervisor: Supervisor;
  clock: Clock;
  logger: Logger;
}

export class ShimServer {
  readonly #options: ShimServerOptions;
  readonly #server: Server;
  readonly #closed = Promise.withResolvers<void>();
  #agent: Socket | undefined;
  #leaving = false;
  #retiring = false;
  #linger: Timer | undefined;
  readonly #reach: Periodic;
  #path = '';
  #inode: bigint | undefined;
  #misses = 0;

  constructor(options: ShimServerOptions) {
    this.#options = options;
    this.#server = createServer((socket) => this.#accept(socket));
    this.#server.on('close', () => this.#closed.resolve());
    const { clock, logger } = options;
    this.#reach = new Periodic({
      step: async () => {
        await this.#checkReach();
        return REACH_INTERVAL_MS;
      },
      onFailure: (error) => logger.error({ err: error }, 'commands that nobody can reach could not be let go'),
      retryMs: REACH_INTERVAL_MS,
      clock,
    });
  }

  /** @throws the system's error. */
  listen(path: string): Promise<void> {
    return new Promise((resolve, reject) => {
      this.#server.once('error', reject);
      this.#server.listen(path, () => {
        // Its folder is private, too; the socket itself need not rely on that.
        chmodSync(path, 0o600);
        this.#server.on('error', (error) => this.#options.logger.error({ err: error }, 'the shim failed to accept'));
        this.#path = path;
        this.#inode = inodeOf(path);
        this.#reach.start(REACH_INTERVAL_MS);
        this.#waitForAgent();
        resolve();
      });
    });
  }

  /** Resolves when nobody needs the shim any more. */
  get closed(): Promise<void> {
    return this.#closed.promise;
  }

  /** Somebody ends all that belongs to the node: stays only while a command lives or the node's process is there to record ends. */
  retire(): void {
    this.#retiring = true;
    if (this.#agent === undefined) this.#waitForAgent();
  }

  tell(event: ShimEvent): void {
    if (this.#agent !== undefined) writeLine(this.#agent, event);
    else if (event.event === 'end') this.#waitForAgent();
  }

  #accept(socket: Socket): void {
    this.#agent?.destroy();
    this.#agent = socket;
    this.#linger?.cancel();
    this.#leaving = false;
    socket.on('error', (error) => this.#options.logger.warn({ err: error }, 'the connection of the node broke'));
    socket.on('close', () => {
      if (this.#agent !== socket) return;
      this.#agent = undefined;
      this.#waitForAgent();
    });
    readLines(socket, (request) => {
      if (!isRequest(request)) return void socket.destroy();
      // Nobody waits for the answer, which would only wake the node.
      if (request.do === 'forget') return this.#options.supervisor.handle(request);
      this.#answer(request).then(
        (result) => writeLine(socket, { re: request.id, value: result ?? null } satisfies ShimReply),
        (error: unknown) => writeLine(socket, { re: request.id, failure: failureOf(error) } satisfies ShimReply),
      );
    });
  }

  async #answer(request: ShimRequest): Promise<unknown> {
    const { supervisor, shim } = this.#options;
    switch (request.do) {
      case 'hello':
        return {
          protocol: SHIM_PROTOCOL,
          shim,
          pid: process.pid,
          commands: await supervisor.states(),
        } satisfies ShimState;
      case 'start':
        return await supervisor.start(request.order);
      case 'adopt':
        supervisor.adopt(request.order);
        return undefined;
      case 'live':
        return await supervisor.live(request.run, request.from);
      case 'leave':
        this.#leaving = true;
        return undefined;
      default:
        supervisor.handle(request);
        return undefined;
    }
  }

  /** Nobody is connected: goes at once if the node went in order, else when nobody has come for long enough. */
  #waitForAgent(): void {
    const { supervisor, clock } = this.#options;
    this.#linger?.cancel();
    if (!supervisor.idle) return;
    if (this.#retiring || (this.#leaving && supervisor.isEmpty)) {
      this.#close();
      return;
    }
    this.#linger = clock.after(supervisor.isEmpty ? LINGER_MS : LINGER_WITH_ENDS_MS, () => {
      if (this.#agent === undefined && supervisor.idle) this.#close();
    });
  }

  /**
   * The folder of the node may be deleted. Then no node can come back and no end can be recorded, so the shim stays for the sake of the
   * commands that run, to read their pipes, and goes with the last one.
   */
  async #checkReach(): Promise<void> {
    const isReachable = this.#agent !== undefined || inodeOf(this.#path) === this.#inode;
    this.#misses = isReachable ? 0 : this.#misses + 1;
    if (this.#misses < MISSES) return;
    if (this.#misses === MISSES) this.#options.logger.warn({}, 'the folder of the node is gone; nobody can come back');
    await this.#options.supervisor.abandon();
    if (this.#agent === undefined && this.#options.supervisor.isEmpty) this.#close();
  }

  #close(): void {
    this.#linger?.cancel();
    void this.#reach.close();
    if (inodeOf(this.#path) === this.#inode) this.#server.close();
    else {
      // A close would unlink what bears the path now: the socket of another shim, perhaps.
      this.#server.unref();
      this.#closed.resolve();
    }
  }
}

/** Undefined when there is no such file. */
function inodeOf(path: string): bigint | undefined {
  try {
    return statSync(path, { bigint: true }).ino;
  } catch {
    return undefined;
  }
}

/** Whether it is one in its form; whoever can open the socket may do anything that the node may, so no more is checked. */
function isRequest(value: unknown): value is ShimRequest {
  return typeof value === 'object' && value !== null && 'id' in value && typeof value.id === 'number' && 'do' in value;
}

function failureOf(error: unknown): string {
  if (error instanceof StartFailure) return error.message;
  const code = error instanceof Error && 'code' in error ? String(error.code) : undefined;
  return `spawn_failed: ${code ?? String(error)}`;
}

/** Calls `take` with each line's value, in order. A line that is no JSON ends the connection: the other side is not who it should be. */
export function readLines(socket: Socket, take: (value: unknown) => void): void {
  const decoder = new StringDecoder('utf8');
  let rest = '';
  socket.on('data', (chunk: Buffer) => {
    const lines = (rest + decoder.write(chunk)).split('\n');
    rest = lines.pop() ?? '';
    for (const line of lines) {
      let value: unknown;
      try {
        value = JSON.parse(line);
      } catch (error) {
        socket.destroy(error instanceof Error ? error : undefined);
        return;
      }
      take(value);
      if (socket.destroyed) return;
    }
  });
}

function writeLine(socket: Socket, value: object): void {
  writeLines(socket, [value]);
}

/** With one system call. */
export function writeLines(socket: Socket, values: readonly object[]): void {
  if (!socket.destroyed) socket.write(values.map((value) => `${JSON.stringify(value)}\n`).join(''));
}

/** A log for a process that must stay small: one JSON object a line, warnings and errors only. */
export function createLineLogger(write: (line: string) => void, bindings: object = {}): Logger {
  const log =
    (level: string) =>
    (facts: object, message: string): void => {
      const plain = Object.entries({ ...bindings, ...facts }).map(([name, value]) => [
        name,
        value instanceof Error ? `${value.name}: ${value.message}` : value,
      ]);
      const record = { time: new Date().toISOString(), level, ...Object.fromEntries(plain), msg: message };
      write(boundLogLine(`${JSON.stringify(record)}\n`));
    };
  return {
    debug: () => {},
    info: () => {},
    warn: log('warn'),
    error: log('error'),
    child: (facts) => createLineLogger(write, { ...bindings, ...facts }),
  };
}
