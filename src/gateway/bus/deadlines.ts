/** The deadlines of runs that wait in the queue: each is looked at when its time has come. */

import { DEFAULT_KILL_GRACE_MS } from '../../domain/limits.ts';
import { isTerminal } from '../../domain/states.ts';
import type { Clock, Timer } from '../../shared/clock.ts';
import { formatDuration } from '../../shared/duration.ts';
import type { NodeClient } from './node-client.ts';
import { notBegun } from './run-facts.ts';
import type { BusStore, RunRecord } from './runs-table.ts';

/** After a failure to store the end of a run, ms. */
const RETRY_MS = 5_000;

interface DeadlinesOptions {
  clock: Clock;
  /** Ends the run if it still waits. */
  expire(runId: string): Promise<void>;
  onFailure(error: unknown): void;
}

export class Deadlines {
  readonly #options: DeadlinesOptions;
  readonly #timers = new Map<string, Timer>();

  constructor(options: DeadlinesOptions) {
    this.#options = options;
  }

  /** Does nothing for a run that has none, or that a node may have. */
  arm(run: Pick<RunRecord, 'id' | 'expiresAt' | 'handedOverAt'>): void {
    const { expiresAt } = run;
    if (expiresAt === null || run.handedOverAt !== null) return;
    const { clock } = this.#options;
    this.#after(run.id, expiresAt - clock.now(), () => this.#expire(run.id));
  }

  disarm(runId: string): void {
    this.#timers.get(runId)?.cancel();
    this.#timers.delete(runId);
  }

  close(): void {
    for (const timer of this.#timers.values()) timer.cancel();
    this.#timers.clear();
  }

  #expire(runId: string): void {
    this.#options.expire(runId).catch((error: unknown) => {
      this.#options.onFailure(error);
      this.#after(runId, RETRY_MS, () => this.#expire(runId));
    });
  }

  #after(runId: string, delayMs: number, callback: () => void): void {
    const fire = (): void => {
      this.#timers.delete(runId);
      callback();
    };
    this.#timers.set(runId, this.#options.clock.after(Math.max(0, delayMs), fire, { unref: true }));
  }
}

/** For a hand-over and a report that take their time, or a tunnel that has to come back, ms; on top of the node's own grace. */
const MARGIN_MS = 20_000;
/** Longest wait for the answer to a question about a run, ms. */
const QUESTION_MS = 5_000;
/** Interval between questions while the node answers that the run goes on, ms. */
const ASK_AGAIN_MS = 15_000;
/** Longest time that such answers are believed, ms: the longest `node.killGrace`. */
const MAX_KILL_GRACE_MS = 86_400_000;

interface AnswerDeadlinesOptions {
  store: BusStore;
  clock: Clock;
  /** Undefined when the node is away. */
  clientOf(nodeId: string): NodeClient | undefined;
  giveUp(runId: string, reason: string): Promise<void>;
  onFailure(error: unknown): void;
}

export class AnswerDeadlines {
  readonly #options: AnswerDeadlinesOptions;
  readonly #timers = new Map<string, Timer>();
  readonly #shutdown = new AbortController();

  constructor(options: AnswerDeadlinesOptions) {
    this.#options = options;
  }

  /** From now on the node may have the run, or is to end it. One without a timeout may take as long as it likes, unless it is canceled. */
  arm({ id }: Pick<RunRecord, 'id'>): void {
    const run = this.#options.store.runs.byId(id);
    if (run === undefined || isTerminal(run.state) || notBegun(run) || this.#shutdown.signal.aborted) return;
    const timeoutMs = this.#timeoutOf(run);
    if (run.cancelReason === null && timeoutMs === undefined) return;
    const waitMs = (run.cancelReason === null ? (timeoutMs ?? 0) : 0) + DEFAULT_KILL_GRACE_MS + MARGIN_MS;
    this.#after(id, waitMs, this.#options.clock.monotonic() + waitMs + MAX_KILL_GRACE_MS);
  }

  disarm(runId: string): void {
    this.#timers.get(runId)?.cancel();
    this.#timers.delete(runId);
  }

  close(): void {
    this.#shutdown.abort();
    for (const timer of this.#timers.values()) timer.cancel();
    this.#timers.clear();
  }

  #after(id: string, delayMs: number, believedUntil: number): void {
    this.disarm(id);
    const timer = this.#options.clock.after(
      delayMs,
      () => {
        this.#judge(id, timer, believedUntil).catch((error: unknown) => {
          this.#options.onFailure(error);
          if (this.#timers.get(id) === timer) this.#after(id, ASK_AGAIN_MS, believedUntil);
        });
      },
      { unref: true },
    );
    this.#timers.set(id, timer);
  }

  async #judge(id: string, timer: Timer, believedUntil: number): Promise<void> {
    const { store, clock, giveUp } = this.#options;
    const run = store.runs.byId(id);
    if (run !== undefined && !isTerminal(run.state)) {
      const isBelieved = this.#waitsForAgent(run) || clock.monotonic() < believedUntil;
      const answers = isBelieved && (await this.#answers(run));
      // It may have been armed again, by a cancel, or the gateway shuts down.
      if (this.#timers.get(id) !== timer) return;
      if (answers) return this.#after(id, ASK_AGAIN_MS, believedUntil);
      await giveUp(id, this.#reasonOf(run));
    }
    if (this.#timers.get(id) === timer) this.#timers.delete(id);
  }

  async #answers({ id, nodeId }: RunRecord): Promise<boolean> {
    try {
      await this.#options.clientOf(nodeId)?.status(id, this.#shutdown.signal, QUESTION_MS);
      return this.#options.clientOf(nodeId) !== undefined;
    } catch {
      // No answer, or none that says that the run goes on: both mean that no end is known.
      return false;
    }
  }

  /** On the node, a prompt may wait for its agent, and its timeout begins after that. */
  #waitsForAgent(run: RunRecord): boolean {
    const waits = run.state === 'delivered' && run.cancelReason === null;
    return waits && this.#options.store.jobs.byId(run.jobId)?.kind === 'agent';
  }

  #timeoutOf(run: RunRecord): number | undefined {
    return this.#options.store.jobs.byId(run.jobId)?.options.timeoutMs;
  }

  #reasonOf(run: RunRecord): string {
    const waited = formatDuration(DEFAULT_KILL_GRACE_MS + MARGIN_MS);
    return run.cancelReason === null
      ? `no_answer: the node did not report the end within ${waited} of the timeout; the command may still be running`
      : `no_answer: the node did not confirm the cancel within ${waited}; the command may still be running`;
  }
}
