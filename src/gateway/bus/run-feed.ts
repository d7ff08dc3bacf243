/** Wakes those who follow a run or a job: a notice that there is something new in the store, never the news itself. */

export class RunFeed {
  readonly #listeners = new Map<string, Set<(runId: string) => void>>();

  /** Calls `listener` with the id of each run of the job that has changed, until the returned function is called. */
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
