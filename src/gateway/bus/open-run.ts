/** A run from its acceptance to its confirmed end: its place in the queue, its deadlines, and its dispatch. */
import { DEFAULT_KILL_GRACE_MS } from '../../domain/limits.ts';
import { isTerminal } from '../../domain/states.ts';
import type { Priority } from '../../domain/vocabulary.ts';
import type { Timer } from '../../shared/clock.ts';
import { formatDuration } from '../../shared/duration.ts';
import type { BusContext } from './bus-context.ts';
import type { JobRecord } from './jobs-table.ts';
import type { NodeQueue, Queued } from './node-queue.ts';
import { RunDispatcher } from './run-dispatcher.ts';
import { isOver, isUnbegun, succeeded } from './run-facts.ts';
import type { RunRecord } from './runs-table.ts';

/** Pause after the expiry of a run could not be stored, ms. */
const EXPIRE_RETRY_MS = 5_000;
/** Added to the timeout and the kill grace, for a slow hand-over or report, or a tunnel that has to come back, ms. */
const MARGIN_MS = 20_000;
/** Longest wait for the node to say whether a run is still in progress, ms. */
const QUESTION_MS = 5_000;
/** Interval between such questions, ms. */
const ASK_AGAIN_MS = 15_000;
/** How long such answers are accepted, ms: the longest `node.killGrace`. */
const MAX_KILL_GRACE_MS = 86_400_000;

/** What an open run needs of the bus. */
export interface OpenRunOwner {
  context: BusContext;
  queueOf(nodeId: string): NodeQueue;
  /** Ends the run unless it has begun: it was not delivered in time. */
  expire(runId: string): Promise<void>;
  /** Ends the run as `unknown`: its node did not report the end in time. */
  giveUp(runId: string, reason: string): Promise<void>;
  forget(run: OpenRun): void;
  logFailure(error: unknown): void;
}

export class OpenRun implements Queued {
  readonly id: string;
  readonly nodeId: string;
  readonly lane: string | undefined;
  readonly agent: string | undefined;
  readonly priority: Priority | undefined;
  readonly handedOverAt: number | null;
  readonly exited: boolean;
  readonly #owner: OpenRunOwner;
  readonly #job: JobRecord;
  readonly #run: RunRecord;
  /** Accepted by this process, so that no other one can have handed it over. */
  readonly #isNew: boolean;
  /** Nothing is sent before the transaction that accepts the run is committed. */
  #isStored: boolean;
  #hasTurn = false;
  #freeSlot: (() => void) | undefined;
  #dispatcher: RunDispatcher | undefined;
  #dispatched: Promise<void> = Promise.resolve();
  /** While a flow waits for the run to end. */
  #released: PromiseWithResolvers<void> | undefined;
  /** Aborts when the run has ended without its node, or the gateway shuts down. */
  #leave: AbortController | undefined;
  #expiry: Timer | undefined;
  #answer: Timer | undefined;

  constructor(owner: OpenRunOwner, job: JobRecord, run: RunRecord, isNew: boolean) {
    this.#owner = owner;
    this.#job = job;
    this.#run = run;
    this.#isNew = isNew;
    this.#isStored = !isNew;
    this.id = run.id;
    this.nodeId = run.nodeId;
    this.lane = job.options.lane;
    this.agent = job.options.agent;
    this.priority = job.options.priority;
    this.handedOverAt = run.handedOverAt;
    this.exited = run.exited !== null;
  }

  get begun(): boolean {
    return this.handedOverAt !== null;
  }

  /** Takes its place in the queue of its node. @returns whether its turn has come at once, and there is a slot for it. */
  enqueue(): boolean {
    this.#owner.queueOf(this.nodeId).add(this);
    return this.#freeSlot !== undefined;
  }

  /** The transaction that accepts the run is committed; `run` is what it stored. */
  stored(run: RunRecord): void {
    this.#isStored = true;
    this.armExpiry(run);
    this.#start();
  }

  onTurn(): void {
    const { slots, shutdown } = this.#owner.context;
    if (shutdown.aborted) return;
    this.#hasTurn = true;
    if (!this.#isStored) this.#freeSlot = slots.tryTake();
    this.#start();
  }

  /** In a flow, others can use what a run of an absent node would hold. */
  onAway(): void {
    if (this.#released === undefined || this.begun) return;
    this.#leaveQueue();
    this.#released.resolve();
  }

  /** Resolves when its node is online or the run has ended. */
  async ready(): Promise<void> {
    const { store, nodes } = this.#owner.context;
    if (isTerminal(store.runs.byId(this.id)?.state ?? 'unknown')) return;
    await nodes.whenOnline(this.nodeId, this.#signal);
  }

  /** Puts a run of a flow into the queue; resolves with whether it succeeded, or undefined if its node went away before it began. */
  async release(): Promise<boolean | undefined> {
    const { store, shutdown } = this.#owner.context;
    const present = store.runs.byId(this.id);
    if (present !== undefined && !isOver(present) && !shutdown.aborted) {
      const released = Promise.withResolvers<void>();
      this.#released = released;
      this.enqueue();
      await released.promise;
      this.#released = undefined;
    }
    const run = store.runs.byId(this.id);
    if (run !== undefined && isUnbegun(run) && !shutdown.aborted) return undefined;
    return run !== undefined && succeeded(run);
  }

  /** The run has ended without its node, could not be stored, or the gateway shuts down. Resolves when its dispatch has ended. */
  async close(): Promise<void> {
    this.#released?.resolve();
    this.#leave?.abort();
    if (this.#dispatcher === undefined) this.#forget();
    await this.#dispatched;
  }

  /** Nothing waits for the run any more, but it holds its lane until its node confirms the end. */
  givenUp(): void {
    this.#answer?.cancel();
    this.#dispatcher?.freeSlot();
    this.#released?.resolve();
  }

  /** Arms the deadline for the delivery of a run that has not begun. */
  armExpiry({ expiresAt, handedOverAt }: Pick<RunRecord, 'expiresAt' | 'handedOverAt'>): void {
    if (expiresAt === null || handedOverAt !== null) return;
    const { clock } = this.#owner.context;
    const after = (delayMs: number): void => {
      this.#expiry = clock.after(delayMs, expire, { unref: true });
    };
    const expire = (): void => {
      this.#owner.expire(this.id).catch((error: unknown) => {
        this.#owner.logFailure(error);
        after(EXPIRE_RETRY_MS);
      });
    };
    after(Math.max(0, expiresAt - clock.now()));
  }

  /** Arms the deadline for the node to report the end of a run that it may have. Without a timeout there is none, unless the run is canceled. */
  armAnswer(): void {
    const { store, clock, shutdown } = this.#owner.context;
    const run = store.runs.byId(this.id);
    if (run === undefined || isTerminal(run.state) || isUnbegun(run) || shutdown.aborted) return;
    const { timeoutMs } = this.#job.options;
    if (run.cancelReason === null && timeoutMs === undefined) return;
    const waitMs = (run.cancelReason === null ? (timeoutMs ?? 0) : 0) + DEFAULT_KILL_GRACE_MS + MARGIN_MS;
    this.#askAfter(waitMs, clock.monotonic() + waitMs + MAX_KILL_GRACE_MS);
  }

  #askAfter(delayMs: number, acceptedUntil: number): void {
    this.#answer?.cancel();
    const ask = (): void => {
      this.#ask(timer, acceptedUntil).catch((error: unknown) => {
        this.#owner.logFailure(error);
        if (this.#answer === timer) this.#askAfter(ASK_AGAIN_MS, acceptedUntil);
      });
    };
    const timer = this.#owner.context.clock.after(delayMs, ask, { unref: true });
    this.#answer = timer;
  }

  async #ask(timer: Timer, acceptedUntil: number): Promise<void> {
    const { store, clock } = this.#owner.context;
    const run = store.runs.byId(this.id);
    if (run === undefined || isTerminal(run.state)) return;
    // A prompt may be waiting for its agent on the node; its timeout starts after that.
    const waitsForAgent = run.state === 'delivered' && run.cancelReason === null && this.#job.kind === 'agent';
    const isInProgress = (waitsForAgent || clock.monotonic() < acceptedUntil) && (await this.#isInProgress());
    // A cancel may have armed it again, or the run may have ended.
    if (this.#answer !== timer) return;
    if (isInProgress) return this.#askAfter(ASK_AGAIN_MS, acceptedUntil);
    const waited = formatDuration(DEFAULT_KILL_GRACE_MS + MARGIN_MS);
    const what =
      run.cancelReason === null
        ? `report the end within ${waited} of the timeout`
        : `confirm the cancel within ${waited}`;
    await this.#owner.giveUp(this.id, `no_answer: the node did not ${what}; the command may still be running`);
  }

  async #isInProgress(): Promise<boolean> {
    const { nodes, shutdown } = this.#owner.context;
    try {
      await nodes.online(this.nodeId)?.status(this.id, shutdown, QUESTION_MS);
      return nodes.online(this.nodeId) !== undefined;
    } catch {
      // No answer, or that the node does not know the run: either way no end is known.
      return false;
    }
  }

  get #signal(): AbortSignal {
    this.#leave ??= new AbortController();
    return this.#leave.signal;
  }

  #start(): void {
    if (!this.#hasTurn || !this.#isStored || this.#dispatcher !== undefined) return;
    const { context, queueOf } = this.#owner;
    this.#dispatcher = new RunDispatcher(context, {
      job: this.#job,
      run: this.#run,
      isNew: this.#isNew,
      unlessAway: this.#released !== undefined,
      freeSlot: this.#freeSlot,
      signal: this.#signal,
      onSend: () => this.armAnswer(),
      onExited: () => queueOf(this.nodeId).exited(this),
    });
    this.#freeSlot = undefined;
    this.#dispatched = this.#dispatcher
      .dispatch()
      .catch((error: unknown) => context.logger.error({ err: error, run: this.id }, 'dispatching a run failed'))
      .then(() => this.#dispatchEnded());
  }

  #dispatchEnded(): void {
    const { store, shutdown } = this.#owner.context;
    this.#dispatcher = undefined;
    const run = store.runs.byId(this.id);
    const isAway = this.#released !== undefined && run !== undefined && isUnbegun(run) && !shutdown.aborted;
    if (isAway) this.#leaveQueue();
    else this.#forget();
    this.#released?.resolve();
  }

  #leaveQueue(): void {
    this.#hasTurn = false;
    this.#owner.queueOf(this.nodeId).remove(this);
    this.#freeSlot?.();
    this.#freeSlot = undefined;
  }

  #forget(): void {
    this.#expiry?.cancel();
    this.#answer?.cancel();
    this.#answer = undefined;
    this.#leaveQueue();
    this.#owner.forget(this);
  }
}
