/** Keeps the tunnel up while the node lives: decides when to try again, and when to give up. */
import { Backoff, type Clock, sleep, TUNNEL_BACKOFF } from '../../shared/clock.ts';
import { FleetError, toFleetError } from '../../shared/errors.ts';
import type { Logger } from '../../shared/logger.ts';
import type { OpenTunnel, Pending } from './connect-once.ts';

/** After a tunnel was usable for this long, the next retry comes at once and the back-off starts again, ms. */
const USABLE_AFTER_MS = 10_000;
/** The same while another machine seems to use the same key: longer than the other's longest pause, ms. */
const UNDISPUTED_AFTER_MS = 5 * 60_000;
/** Shortest and longest interval between a pending node's requests, ms. */
const MIN_PENDING_RETRY_MS = 1_000;
const MAX_PENDING_RETRY_MS = 15_000;
/** The longest for a node that its gateway has forgotten: possibly nobody is waiting for it, ms. */
const MAX_FORGOTTEN_RETRY_MS = 60_000;

interface TunnelStatus {
  state: 'connecting' | 'pending' | 'online' | 'waiting' | 'stopped';
  pendingCode: string | null;
  lastError: FleetError | null;
  /** Own wall clock, ms; only while `waiting`. */
  retryAt: number | null;
  /** Own wall clock, ms; only while `online`. */
  connectedSince: number | null;
  connects: number;
  /** Duration of the last successful attempt, ms. */
  connectMs: number;
}

interface TunnelOptions {
  /** One attempt, up to the first accepted heartbeat. */
  attempt(signal: AbortSignal): Promise<UsableTunnel | Pending>;
  onPending(code: string): void;
  clock: Clock;
  logger: Logger;
  random: () => number;
}

/** A tunnel whose first heartbeat was accepted. */
export interface UsableTunnel extends OpenTunnel {
  /** Checks whether it is alive, and ends it if not. */
  check(): void;
  stop(): void;
}

export class Tunnel {
  readonly #options: TunnelOptions;
  readonly #backoff: Backoff;
  readonly #closed = new AbortController();
  #retryNow = new AbortController();
  #current: UsableTunnel | undefined;
  #running: Promise<void> | undefined;
  #status: TunnelStatus = {
    state: 'connecting',
    pendingCode: null,
    lastError: null,
    retryAt: null,
    connectedSince: null,
    connects: 0,
    connectMs: 0,
  };
  readonly #ended = Promise.withResolvers<FleetError | undefined>();

  constructor(options: TunnelOptions) {
    this.#options = options;
    this.#backoff = new Backoff({ ...TUNNEL_BACKOFF, random: options.random });
  }

  /** Resolves when the tunnel is usable for the first time; rejects when it never will be (a permanent refusal), or on close. */
  start(): Promise<void> {
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    const run = async (): Promise<void> => {
      const error = await this.#run(resolve).catch(toFleetError);
      this.#set({ state: 'stopped', lastError: error ?? this.#status.lastError, retryAt: null, connectedSince: null });
      this.#ended.resolve(error);
      reject(error ?? new FleetError('not_running', 'the node was stopped'));
    };
    this.#running = run();
    return promise;
  }

  /** Resolves with the reason when the tunnel has given up, without one when it was closed. */
  get ended(): Promise<FleetError | undefined> {
    return this.#ended.promise;
  }

  get status(): Readonly<TunnelStatus> {
    return this.#status;
  }

  get current(): UsableTunnel | undefined {
    return this.#current;
  }

  /** The network may have changed (SIGHUP, wake from sleep): retry at once, or check whether the tunnel is alive. */
  nudge(): void {
    this.#current?.check();
    this.#retryNow.abort();
  }

  async close(): Promise<void> {
    this.#closed.abort();
    this.#current?.stop();
    await this.#running;
  }

  /** Resolves with a permanent refusal; with undefined once closed. */
  async #run(onUsable: () => void): Promise<FleetError | undefined> {
    const { clock, logger, attempt } = this.#options;
    let pendingRetryMs = 0;
    while (!this.#closed.signal.aborted) {
      let delayMs: number;
      try {
        this.#set({ state: this.#status.pendingCode === null ? 'connecting' : 'pending', retryAt: null });
        const begunAt = clock.monotonic();
        const result = await attempt(this.#closed.signal);
        if ('pendingCode' in result) {
          this.#noteApproval(result);
          const maxRetryMs = result.forgotten === undefined ? MAX_PENDING_RETRY_MS : MAX_FORGOTTEN_RETRY_MS;
          const wantedMs = Math.max(MIN_PENDING_RETRY_MS, result.retryAfterMs, pendingRetryMs * 1.5);
          pendingRetryMs = Math.min(maxRetryMs, wantedMs);
          await this.#sleep(pendingRetryMs);
          continue;
        }
        pendingRetryMs = 0;
        this.#set({ connectMs: clock.monotonic() - begunAt });
        const usableMs = await this.#use(result, onUsable);
        // Two machines with one key evict each other: they must not do so as fast as they can.
        const wasGood = usableMs >= (result.hello.isSuspected ? UNDISPUTED_AFTER_MS : USABLE_AFTER_MS);
        if (wasGood) this.#backoff.reset();
        delayMs = wasGood ? 0 : this.#backoff.next();
      } catch (error) {
        if (this.#closed.signal.aborted) return undefined;
        const failure = toFleetError(error);
        const { code, message: reason } = failure;
        // A gateway with a damaged database isn't refusing anybody, and will be repaired.
        if (!failure.retryable && !code.startsWith('storage_')) {
          logger.error({ code, reason }, 'the gateway refuses this node permanently');
          return failure;
        }
        delayMs = this.#backoff.next();
        this.#set({ lastError: failure });
        logger.warn({ code, reason, retryInMs: Math.round(delayMs) }, 'tunnel attempt failed');
      }
      if (delayMs > 0) {
        this.#set({ state: 'waiting', retryAt: clock.now() + delayMs, connectedSince: null });
        await this.#sleep(delayMs);
      }
    }
    return undefined;
  }

  /** Resolves when the tunnel has ended, with how long it was usable, ms. */
  async #use(tunnel: UsableTunnel, onUsable: () => void): Promise<number> {
    const { clock, logger } = this.#options;
    const since = clock.monotonic();
    const connects = this.#status.connects + 1;
    this.#current = tunnel;
    this.#set({ state: 'online', pendingCode: null, lastError: null, connectedSince: clock.now(), connects });
    logger.info({ name: tunnel.hello.name, connects }, 'tunnel is up');
    onUsable();
    if (this.#closed.signal.aborted) tunnel.stop();
    const { reason } = await tunnel.connection.closed;
    tunnel.stop();
    this.#current = undefined;
    const usableMs = clock.monotonic() - since;
    logger.warn({ reason, usableMs: Math.round(usableMs) }, 'tunnel is down');
    const lastError = new FleetError('connection_lost', `the tunnel ended: ${reason}`);
    this.#set({ state: 'connecting', connectedSince: null, lastError });
    return usableMs;
  }

  #noteApproval({ pendingCode, forgotten }: Pending): void {
    const { logger, onPending } = this.#options;
    if (this.#status.pendingCode !== pendingCode) {
      logger.warn({ code: pendingCode, reason: forgotten?.message }, "waiting for an operator's approval");
      onPending(pendingCode);
    }
    this.#set({ state: 'pending', pendingCode, lastError: forgotten ?? null });
  }

  async #sleep(delayMs: number): Promise<void> {
    await sleep(this.#options.clock, delayMs, AbortSignal.any([this.#closed.signal, this.#retryNow.signal]));
    // Only now, so that a nudge during an attempt skips the pause after it.
    this.#retryNow = new AbortController();
  }

  #set(change: Partial<TunnelStatus>): void {
    this.#status = { ...this.#status, ...change };
  }
}
