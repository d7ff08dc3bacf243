/** Runs that have begun and wait for their node to come back. */
import type { Link } from '../nodes/links.ts';

export class OnlineWaiters {
  readonly #waiters = new Map<string, Set<(session?: Link) => void>>();

  /** Resolves with the node's next session, once it is online; with undefined when `signal` aborts first. */
  next(nodeId: string, signal: AbortSignal): Promise<Link | undefined> {
    if (signal.aborted) return Promise.resolve(undefined);
    return new Promise((resolve) => {
      const waiters = this.#waiters.get(nodeId) ?? new Set();
      this.#waiters.set(nodeId, waiters);
      const done = (session?: Link): void => {
        waiters.delete(done);
        if (waiters.size === 0 && this.#waiters.get(nodeId) === waiters) this.#waiters.delete(nodeId);
        signal.removeEventListener('abort', aborted);
        resolve(session);
      };
      const aborted = (): void => done();
      waiters.add(done);
      signal.addEventListener('abort', aborted, { once: true });
    });
  }

  wake(session: Link): void {
    const waiters = this.#waiters.get(session.nodeId) ?? [];
    this.#waiters.delete(session.nodeId);
    for (const done of waiters) done(session);
  }
}
