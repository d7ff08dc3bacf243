/**
 * Carries one run from the queue to its end: hands it over, follows its log, and goes on after every cut of the tunnel.
 *
 * What makes it exactly once: before the first hand-over the store notes that the node *may* have the run; the node's
 * journal then decides. Only a node that has lost its journal, or says that it does not know how a run ended, makes it `unknown`.
 */
import type { RunSpec } from '../../protocol/run-spec.ts';
import { isTerminal } from '../../protocol/run-state.ts';
import { Backoff } from '../../shared/backoff.ts';
import { type Clock, sleep } from '../../shared/clock.ts';
import { FleetError, toFleetError } from '../../shared/errors.ts';
import type { Logger } from '../../shared/logger.ts';
import type { Session } from '../sessions.ts';
import type { RunRecord } from '../store/runs-table.ts';
import type { Store } from '../store/store.ts';
import { receiveLog } from './log-receiver.ts';
import type { NodeClient } from './node-client.ts';

/** Pauses between attempts while the tunnel stands, ms. */
const RETRY = { initialMs: 100, maxMs: 5_000 } as const;

export interface RunCarrierOptions {
  store: Store;
  clock: Clock;
  logger: Logger;
  random: () => number;
  /** Resolves once the node is online, with its session; undefined when `signal` aborts first. */
  whenOnline(nodeId: string, signal: AbortSignal): Promise<Session | undefined>;
  clientOf(session: Session): NodeClient;
  specOf(run: RunRecord): RunSpec;
  /** Tells followers that the store has something new about the run. */
  changed(run: RunRecord): void;
}

export class RunCarrier {
  readonly #options: RunCarrierOptions;
  readonly #id: string;
  readonly #shutdown: AbortSignal;
  readonly #logger: Logger;
  /** Ends the wait for an absent node when the run is canceled before it was handed over. */
  readonly #settled = new AbortController();
  #client: NodeClient | undefined;

  constructor(run: RunRecord, shutdown: AbortSignal, options: RunCarrierOptions) {
    this.#options = options;
    this.#id = run.id;
    this.#shutdown = shutdown;
    this.#logger = options.logger.child({ run: run.id, node: run.nodeName });
  }

  /** Resolves when the run has ended or the gateway shuts down; never rejects. */
  async carry(): Promise<void> {
    const backoff = new Backoff({ ...RETRY, random: this.#options.random });
    const signal = AbortSignal.any([this.#shutdown, this.#settled.signal]);
    while (!signal.aborted && !isTerminal(this.#run().state)) {
      const session = await this.#options.whenOnline(this.#run().nodeId, signal);
      if (session === undefined) return;
      try {
        await this.#attempt(session);
        return;
      } catch (error) {
        if (signal.aborted) return;
        const failure = toFleetError(error);
        this.#logger.info({ code: failure.code, reason: failure.message }, 'attempt to carry a run failed');
        await sleep(this.#options.clock, backoff.next(), signal);
      } finally {
        this.#client = undefined;
      }
    }
  }

  /** The run is to be canceled: passes it on to the node if that has it, else ends the wait. */
  async cancel(): Promise<void> {
    const run = this.#run();
    if (run.state === 'queued' && run.handedOverAt === null) {
      await this.#end(() => this.#options.store.runs.move(run.id, 'canceled', this.#endNow(run.cancelReason)));
      this.#settled.abort();
      return;
    }
    await this.#client?.cancel(run.id);
  }

  async #attempt(session: Session): Promise<void> {
    const { store } = this.#options;
    const client = this.#options.clientOf(session);
    this.#client = client;
    let run = this.#run();
    if (run.state === 'queued') {
      const refused = await this.#handOver(client, session);
      if (refused) return;
    } else if (run.journal !== (session.journal ?? null)) {
      return await this.#unknown('node_lost_journal: the node cannot say what became of it');
    }
    run = this.#run();
    if (run.cancelReason !== null && !isTerminal(run.state)) {
      // The node answers when the process group is gone; the log tells the same, so nobody waits for this answer.
      client
        .cancel(run.id)
        .catch((error: unknown) => this.#logger.info({ err: error }, 'cancel did not reach the node'));
    }
    const abort = new AbortController();
    const stop = (): void => abort.abort();
    this.#shutdown.addEventListener('abort', stop, { once: true });
    try {
      const stream = await client.openLog(run.id, run.logBytes, abort.signal);
      await receiveLog(stream, { store, run, onStored: () => this.#options.changed(run) });
    } catch (error) {
      const { code } = toFleetError(error);
      if (code !== 'not_found') throw error;
      return await this.#unknown('node_lost_run: the node no longer knows it');
    } finally {
      this.#shutdown.removeEventListener('abort', stop);
    }
    client
      .acknowledge(run.id)
      .catch((error: unknown) => this.#logger.info({ err: error }, 'acknowledgement did not reach the node'));
  }

  /** Hands a queued run over; true when the node refused it for good and the run has ended. */
  async #handOver(client: NodeClient, session: Session): Promise<boolean> {
    const { store, clock } = this.#options;
    const run = this.#run();
    if (run.handedOverAt !== null && run.journal !== (session.journal ?? null)) {
      await this.#end(() => {
        store.runs.move(run.id, 'delivered');
        return store.runs.move(
          run.id,
          'unknown',
          this.#endNow('node_lost_journal: the node cannot say whether it ran'),
        );
      });
      return true;
    }
    if (run.handedOverAt === null) {
      const noted = await store.write(() => {
        const present = store.runs.byId(run.id);
        if (present?.state !== 'queued') return false;
        store.runs.noteHandOver(run.seq, clock.now(), session.journal ?? '');
        return true;
      });
      if (!noted) return true;
    }
    try {
      await client.handOver(this.#options.specOf(run));
    } catch (error) {
      const failure = toFleetError(error);
      if (failure.retryable && failure.code !== 'storage_failed') throw failure;
      await this.#refused(failure);
      return true;
    }
    await this.#end(() => store.runs.move(run.id, 'delivered', { deliveredAt: clock.now() }));
    return false;
  }

  /** The node said no before it journaled anything: certain that nothing ran. */
  async #refused(failure: FleetError): Promise<void> {
    const { store } = this.#options;
    const reason = `${failure.code}: ${failure.message}`;
    await this.#end(() => {
      if (failure.code === 'forbidden') return store.runs.move(this.#id, 'rejected', this.#endNow(reason));
      store.runs.move(this.#id, 'delivered');
      return store.runs.move(this.#id, 'failed_to_start', this.#endNow(reason));
    });
  }

  async #unknown(reason: string): Promise<void> {
    await this.#end(() => this.#options.store.runs.move(this.#id, 'unknown', this.#endNow(reason)));
  }

  async #end(work: () => RunRecord): Promise<void> {
    this.#options.changed(await this.#options.store.write(work));
  }

  #endNow(reason: string | null): { reason: string | null; endedAt: number } {
    return { reason, endedAt: this.#options.clock.now() };
  }

  #run(): RunRecord {
    const run = this.#options.store.runs.byId(this.#id);
    if (run === undefined) throw new FleetError('not_found', `no run ${this.#id}`);
    return run;
  }
}
