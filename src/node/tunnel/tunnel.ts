/** Keeps the tunnel up for as long as the node lives: owns when to try again, and when not to. */
import { Backoff, TUNNEL_BACKOFF } from '../../shared/backoff.ts';
import { type Clock, sleep } from '../../shared/clock.ts';
import { FleetError, toFleetError } from '../../shared/errors.ts';
import type { Logger } from '../../shared/logger.ts';
import type { OpenTunnel, Pending } from './connect-once.ts';

/** A tunnel that was usable for so long was a good one: the next retry is at once, and back-off starts small again, ms. */
const USABLE_AFTER_MS = 10_000;
/** The same, while another machine seems to use the same key: longer than the longest pause of the other, ms. */
const UNDISPUTED_AFTER_MS = 5 * 60_000;
/** Fastest and slowest repetition of a pending node's question, ms. */
const MIN_PENDING_RETRY_MS = 1_000;
const MAX_PENDING_RETRY_MS = 15_000;
/** The same for a node that its gateway has forgotten, which nobody may be waiting for, ms. */
const MAX_FORGOTTEN_RETRY_MS = 60_000;

type TunnelState = 'connecting' | 'pending' | 'online' | 'waiting' | 'stopped';

interface TunnelStatus {
  state: TunnelState;
  pendingCode: string | null;
  lastError: FleetError | null;
  /** Own wall clock, ms; only while `waiting`. */
  retryAt: number | null;
  /** Own wall clock, ms; only while `online`. */
  connectedSince: number | null;
  connects: number;
  /** How long the last attempt took that succeeded, ms. */
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
  /** Looks whether it still lives, and ends it if not. */
  check(): void;
  stop(): void;
}

export class Tunnel {
  readonly #options: TunnelOptions;
  readonly #backoff: Backoff;
  readonly #closed = new AbortController();
  #retryNow: AbortController = new AbortController();
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

  /** Resolves when the tunnel is usable for the first time; rejects when it never will be (a refusal for good), or on close. */
  start(): Promise<void> {
    return new Promise((resolve, reject) => {
      this.#running = this.#run(resolve).then(
        (error) => {
          this.#set({
            state: 'stopped',
            lastError: error ?? this.#status.lastError,
            retryAt: null,
            connectedSince: null,
          });
          this.#ended.resolve(error);
          reject(error ?? new FleetError('not_running', 'the node was stopped'));
        },
        (error: unknown) => {
          this.#ended.resolve(toFleetError(error));
          reject(error);
        },
      );
    });
  }

  /** Resolves when the tunnel has given up for good, with the reason; or was closed, without. */
  get ended(): Promise<FleetError | undefined> {
    return this.#ended.promise;
  }

  get status(): Readonly<TunnelStatus> {
    return this.#status;
  }

  get current(): UsableTunnel | undefined {
    return this.#current;
  }

  /** Something happened to the network (SIGHUP, a wake from sleep): try at once, or look whether the tunnel still lives. */
  nudge(): void {
    this.#current?.check();
    this.#retryNow.abort();
  }

  async close(): Promise<void> {
    this.#closed.abort();
    this.#current?.stop();
    await this.#running;
  }

  /** The error that ends it for good; undefined when it was closed. */
  async #run(onUsable: () => void): Promise<FleetError | undefined> {
    const { clock, logger } = this.#options;
    let pendingRetryMs = 0;
    while (!this.#closed.signal.aborted) {
      let delayMs: number;
      try {
        this.#set({ state: this.#status.pendingCode === null ? 'connecting' : 'pending', retryAt: null });
        const begunAt = clock.monotonic();
        const result = await this.#options.attempt(this.#closed.signal);
        if ('pendingCode' in result) {
          const maxRetryMs = result.forgotten === undefined ? MAX_PENDING_RETRY_MS : MAX_FORGOTTEN_RETRY_MS;
          pendingRetryMs = Math.min(
            maxRetryMs,
            Math.max(MIN_PENDING_RETRY_MS, result.retryAfterMs, pendingRetryMs * 1.5),
          );
          this.#waitForApproval(result);
          await this.#sleep(pendingRetryMs);
          continue;
        }
        pendingRetryMs = 0;
        this.#set({ connectMs: clock.monotonic() - begunAt });
        const usableMs = await this.#use(result, onUsable);
        // Of two machines with one key each evicts the other: they must not do so as fast as they can.
        const wasGood = usableMs >= (result.hello.isSuspected ? UNDISPUTED_AFTER_MS : USABLE_AFTER_MS);
        if (wasGood) this.#backoff.reset();
        delayMs = wasGood ? 0 : this.#backoff.next();
      } catch (error) {
        if (this.#closed.signal.aborted) return undefined;
        const failure = toFleetError(error);
        // A gateway whose database is damaged gets mended some day, and refuses nobody.
        if (!failure.retryable && !failure.code.startsWith('storage_')) {
          logger.error({ code: failure.code, reason: failure.message }, 'the gateway refuses this node for good');
          return failure;
        }
        delayMs = this.#backoff.next();
        this.#set({ lastError: failure });
        logger.warn(
          { code: failure.code, reason: failure.message, retryInMs: Math.round(delayMs) },
          'tunnel attempt failed',
        );
      }
      if (delayMs > 0) {
        this.#set({ state: 'waiting', retryAt: clock.now() + delayMs, connectedSince: null });
        await this.#sleep(delayMs);
      }
    }
    return undefined;
  }

  /** Until the tunnel ends; how long it was usable, ms. */
  async #use(tunnel: UsableTunnel, onUsable: () => void): Promise<number> {
    const { clock, logger } = this.#options;
    const since = clock.monotonic();
    this.#current = tunnel;
    this.#set({
      state: 'online',
      pendingCode: null,
      lastError: null,
      connectedSince: clock.now(),
      connects: this.#status.connects + 1,
    });
    logger.info({ name: tunnel.hello.name, connects: this.#status.connects }, 'tunnel is up');
    onUsable();
    if (this.#closed.signal.aborted) tunnel.stop();
    const { reason } = await tunnel.connection.closed;
    tunnel.stop();
    this.#current = undefined;
    const usableMs = clock.monotonic() - since;
    logger.warn({ reason, usableMs: Math.round(usableMs) }, 'tunnel is down');
    this.#set({
      state: 'connecting',
      connectedSince: null,
      lastError: new FleetError('connection_lost', `the tunnel ended: ${reason}`),
    });
    return usableMs;
  }

  #waitForApproval({ pendingCode, forgotten }: Pending): void {
    if (this.#status.pendingCode !== pendingCode) {
      const reason = forgotten?.message;
      this.#options.logger.warn(
        { code: pendingCode, reason },
        'waiting for approval by the gateway; asking until then',
      );
      this.#options.onPending(pendingCode);
    }
    this.#set({ state: 'pending', pendingCode, lastError: forgotten ?? null });
  }

  async #sleep(delayMs: number): Promise<void> {
    await sleep(this.#options.clock, delayMs, AbortSignal.any([this.#closed.signal, this.#retryNow.signal]));
    // Renewed only now: a nudge during an attempt is meant for the pause after it.
    this.#retryNow = new AbortController();
  }

  #set(change: Partial<TunnelStatus>): void {
    this.#status = { ...this.#status, ...change };
  }
}
