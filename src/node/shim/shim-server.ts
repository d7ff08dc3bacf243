/**
 * The shim's socket: serves one process of the node at a time, and waits for the next one while there is none.
 *
 * A new connection ends the previous one before anything else happens, so an order whose sender didn't live to see the answer either has
 * been carried out, and is part of the state that `hello` returns, or never will be.
 */
import { chmodSync, statSync } from 'node:fs';
import { createServer, type Server, type Socket } from 'node:net';
import { type Clock, Periodic, type Timer } from '../../shared/clock.ts';
import { systemErrorCode } from '../../shared/errors.ts';
import type { Logger } from '../../shared/logger.ts';
import {
  readLines,
  SHIM_PROTOCOL,
  type ShimEvent,
  type ShimReply,
  type ShimRequest,
  type ShimState,
  StartFailure,
  writeLines,
} from './messages.ts';
import type { Supervisor } from './supervisor.ts';

/** How long an idle shim waits for a killed node to restart, ms. */
const LINGER_MS = 10_000;
/** The same while it keeps ends that aren't recorded yet, for a node that is repaired or restarted by hand, ms. */
const LINGER_WITH_ENDS_MS = 24 * 3_600_000;
/** Interval between checks that the socket can be found, ms. */
const REACH_INTERVAL_MS = 5_000;
/** Failed checks in a row that count: somebody may be renaming a folder. */
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
  #node: Socket | undefined;
  #leaving = false;
  #retiring = false;
  #linger: Timer | undefined;
  readonly #reach: Periodic;
  #path = '';
  #inode: bigint | undefined;
  #misses = 0;

  constructor(options: ShimServerOptions) {
    const { clock, logger } = options;
    this.#options = options;
    this.#server = createServer((socket) => this.#accept(socket));
    this.#server.on('close', () => this.#closed.resolve());
    this.#reach = new Periodic({
      step: async () => {
        await this.#checkReach();
        return REACH_INTERVAL_MS;
      },
      onFailure: (error) => logger.error({ err: error }, 'cannot abandon unreachable commands'),
      retryMs: REACH_INTERVAL_MS,
      clock,
    });
  }

  /** @throws the system's error. */
  listen(path: string): Promise<void> {
    return new Promise((resolve, reject) => {
      this.#server.once('error', reject);
      this.#server.listen(path, () => {
        // Its folder is private, too; the socket doesn't rely on that.
        chmodSync(path, 0o600);
        this.#server.on('error', (error) => this.#options.logger.error({ err: error }, 'the shim failed to accept'));
        this.#path = path;
        this.#inode = inodeOf(path);
        this.#reach.start(REACH_INTERVAL_MS);
        this.#waitForNode();
        resolve();
      });
    });
  }

  /** Resolves when the shim is no longer needed. */
  get closed(): Promise<void> {
    return this.#closed.promise;
  }

  /** After a signal: stay only while a command is alive or the node's process is there to record ends. */
  retire(): void {
    this.#retiring = true;
    if (this.#node === undefined) this.#waitForNode();
  }

  report(event: ShimEvent): void {
    if (this.#node !== undefined) writeLines(this.#node, [event]);
    else if (event.event === 'end') this.#waitForNode();
  }

  #accept(socket: Socket): void {
    this.#node?.destroy();
    this.#node = socket;
    this.#linger?.cancel();
    this.#leaving = false;
    socket.on('error', (error) => this.#options.logger.warn({ err: error }, 'the connection of the node broke'));
    socket.on('close', () => {
      if (this.#node !== socket) return;
      this.#node = undefined;
      this.#waitForNode();
    });
    readLines(socket, (request) => {
      if (!isRequest(request)) return void socket.destroy();
      // An answer that nobody waits for would only wake the node.
      if (request.do === 'forget') return this.#options.supervisor.handle(request);
      const reply = (answer: ShimReply): void => writeLines(socket, [answer]);
      this.#answer(request).then(
        (result) => reply({ re: request.id, value: result ?? null }),
        (error: unknown) => reply({ re: request.id, failure: failureOf(error) }),
      );
    });
  }

  async #answer(request: ShimRequest): Promise<unknown> {
    const { supervisor, shim } = this.#options;
    switch (request.do) {
      case 'hello': {
        const commands = await supervisor.states();
        return { protocol: SHIM_PROTOCOL, shim, pid: process.pid, commands } satisfies ShimState;
      }
      case 'start':
        return await supervisor.start(request.order);
      case 'adopt':
        return supervisor.adopt(request.order);
      case 'live':
        return await supervisor.live(request.run, request.from);
      case 'leave':
        this.#leaving = true;
        return undefined;
      default:
        return supervisor.handle(request);
    }
  }

  /** Without a connection: closes at once after an orderly shutdown of the node, else when none has come for long enough. */
  #waitForNode(): void {
    const { supervisor, clock } = this.#options;
    this.#linger?.cancel();
    if (!supervisor.idle) return;
    if (this.#retiring || (this.#leaving && supervisor.isEmpty)) {
      this.#close();
      return;
    }
    this.#linger = clock.after(supervisor.isEmpty ? LINGER_MS : LINGER_WITH_ENDS_MS, () => {
      if (this.#node === undefined && supervisor.idle) this.#close();
    });
  }

  /**
   * If the node's folder was deleted, no node can return and no end can be recorded: the shim stays only to read the pipes of running
   * commands, and exits with the last of them.
   */
  async #checkReach(): Promise<void> {
    const { supervisor, logger } = this.#options;
    const isReachable = this.#node !== undefined || inodeOf(this.#path) === this.#inode;
    this.#misses = isReachable ? 0 : this.#misses + 1;
    if (this.#misses < MISSES) return;
    if (this.#misses === MISSES) logger.warn({}, "the node's folder is gone; no node can return");
    await supervisor.abandon();
    if (this.#node === undefined && supervisor.isEmpty) this.#close();
  }

  #close(): void {
    this.#linger?.cancel();
    void this.#reach.close();
    if (inodeOf(this.#path) === this.#inode) this.#server.close();
    else {
      // Closing would unlink what is at the path now, possibly another shim's socket.
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

/** Checks only the form: a process that can open the socket may do anything that the node may. */
function isRequest(value: unknown): value is ShimRequest {
  return typeof value === 'object' && value !== null && 'id' in value && typeof value.id === 'number' && 'do' in value;
}

function failureOf(error: unknown): string {
  return error instanceof StartFailure ? error.message : `spawn_failed: ${systemErrorCode(error) ?? String(error)}`;
}
