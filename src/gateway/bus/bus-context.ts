/** What the parts of the bus share. */
import type { Clock } from '../../shared/clock.ts';
import type { Logger } from '../../shared/logger.ts';
import type { Acknowledger } from './acknowledger.ts';
import type { Slots } from './job-flow.ts';
import type { NodeClients } from './node-client.ts';
import type { BusStore } from './runs-table.ts';

export interface BusContext {
  store: BusStore;
  clock: Clock;
  logger: Logger;
  random: () => number;
  nodes: NodeClients;
  /** Of all runs in progress, `maxRunsInFlight`. */
  slots: Slots;
  feed: RunFeed;
  acknowledger: Pick<Acknowledger, 'add'>;
  /** Aborts when the gateway shuts down. */
  shutdown: AbortSignal;
}

/** Notifies the followers of a job that one of its runs has changed; the store has the details. */
export class RunFeed {
  readonly #listeners = new Map<string, Set<(runId: string) => void>>();

  /** Calls `listener` with the id of each changed run of the job, until the returned function is called. */
  subscribe(jobId: string, listener: (runId: string) => void): () => void {
    const listeners = this.#listeners.get(jobId) ?? new Set();
    this.#listeners.set(jobId, listeners.add(listener));
    return () => {
      listeners.delete(listener);
      if (listeners.size === 0 && this.#listeners.get(jobId) === listeners) this.#listeners.delete(jobId);
    };
  }

  changed(run: { id: string; jobId: string }): void {
    for (const listener of this.#listeners.get(run.jobId) ?? []) listener(run.id);
  }
}
