/** The ends of runs that their nodes have no part in: canceled, expired or given up before any node had them. */
import { isTerminal } from '../../domain/states.ts';
import type { Clock } from '../../shared/clock.ts';
import { EXPIRED, notBegun } from './run-facts.ts';
import type { BusStore, RunRecord } from './runs-table.ts';

interface EndingsOptions {
  store: BusStore;
  clock: Clock;
  /** A run has ended so: tells whoever waits for that. */
  settle(run: RunRecord): void;
  /** A run is `unknown` now, and its node still has to confirm its end. */
  givenUp(run: RunRecord): void;
}

/** Each decides within its write: a hand-over is noted before it or after it, never in between. */
export class Endings {
  readonly #options: EndingsOptions;

  constructor(options: EndingsOptions) {
    this.#options = options;
  }

  /** Notes that the runs are to be canceled, and ends those that no node has seen; resolves with the others that have not ended. */
  async cancel(runs: readonly RunRecord[], reason: string): Promise<RunRecord[]> {
    const { store, settle } = this.#options;
    const asked = await store.write(() =>
      runs.flatMap(({ id, seq }) => {
        store.runs.askCancel(seq, reason);
        const run = store.runs.byId(id);
        if (run === undefined || !notBegun(run)) return run ?? [];
        return this.#move(run, 'canceled', run.cancelReason);
      }),
    );
    const ended = asked.filter(({ state }) => isTerminal(state));
    ended.forEach(settle);
    return asked.filter((run) => !ended.includes(run));
  }

  /** The node will never come back: cancels what it never got; what became of the rest nobody can say. */
  async abandon(nodeId: string, reason: string): Promise<void> {
    const { store, settle } = this.#options;
    const ended = await store.write(() =>
      [...store.runs.unconfirmed(nodeId), ...store.runs.open(nodeId)].map((run) => {
        if (notBegun(run)) return this.#move(run, 'canceled', reason);
        if (run.state === 'queued') store.runs.move(run.id, 'delivered');
        return this.#move(run, 'unknown', reason);
      }),
    );
    ended.forEach(settle);
  }

  /** The node has not said in time how the run ended. */
  async giveUp(id: string, reason: string): Promise<void> {
    const { store, clock, givenUp } = this.#options;
    const ended = await store.write(() => {
      const run = store.runs.byId(id);
      if (run === undefined || isTerminal(run.state) || notBegun(run)) return undefined;
      return store.runs.giveUp(id, reason, clock.now());
    });
    if (ended !== undefined) givenUp(ended);
  }

  /** Too many others have failed: cancels the run unless it has begun. */
  drop(id: string): Promise<void> {
    return this.#endIf(id, notBegun, 'canceled', 'max_errors');
  }

  /** Its deadline has passed: ends the run if it has not begun. */
  expire(id: string): Promise<void> {
    return this.#endIf(id, notBegun, 'expired', EXPIRED);
  }

  async #endIf(
    id: string,
    applies: (run: RunRecord) => boolean,
    state: 'canceled' | 'expired',
    reason: string,
  ): Promise<void> {
    const { store, settle } = this.#options;
    const ended = await store.write(() => {
      const run = store.runs.byId(id);
      return run !== undefined && applies(run) ? this.#move(run, state, reason) : undefined;
    });
    if (ended !== undefined) settle(ended);
  }

  #move({ id }: RunRecord, state: 'canceled' | 'expired' | 'unknown', reason: string | null): RunRecord {
    const { store, clock } = this.#options;
    return store.runs.move(id, state, { reason, endedAt: clock.now() });
  }
}
