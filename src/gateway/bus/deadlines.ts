/** The deadlines of runs that wait in the queue: each is looked at when its time has come. */
import type { Clock, Timer } from '../../shared/clock.ts';
import type { RunRecord } from './runs-table.ts';

/** After a failure to store the end of a run, ms. */
const RETRY_MS = 5_000;

export interface DeadlinesOptions {
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
