/** A fixed number of places for work in progress: taken in the order of asking, and given back by whoever holds one. */

export class Places {
  #free: number;
  readonly #waiting = new Set<() => void>();

  constructor(most: number) {
    this.#free = most;
  }

  /**
   * Resolves with what gives the place back (idempotent); undefined when `signal` aborts first. `onTaken` is called with the place, within
   * this call if there is a free one.
   */
  take(signal: AbortSignal, onTaken?: () => void): Promise<(() => void) | undefined> {
    if (signal.aborted) return Promise.resolve(undefined);
    if (this.#free > 0) {
      this.#free -= 1;
      onTaken?.();
      return Promise.resolve(this.#giveBackOnce());
    }
    return new Promise((resolve) => {
      const leave = (): void => {
        this.#waiting.delete(grant);
        resolve(undefined);
      };
      const grant = (): void => {
        this.#waiting.delete(grant);
        signal.removeEventListener('abort', leave);
        onTaken?.();
        resolve(this.#giveBackOnce());
      };
      this.#waiting.add(grant);
      signal.addEventListener('abort', leave, { once: true });
    });
  }

  /** The place goes to the next that waits. */
  #giveBackOnce(): () => void {
    let held = true;
    return () => {
      if (!held) return;
      held = false;
      const [next] = this.#waiting;
      if (next === undefined) this.#free += 1;
      else next();
    };
  }
}
