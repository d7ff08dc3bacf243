/**
 * Carries one run from the queue to its end: hands it over, follows its log, and goes on after every cut of the tunnel.
 *
 * What makes it exactly once: before the first hand-over the store notes that the node *may* have the run; the node's
 * journal then decides. Only a node that has lost its journal, or says that it does not know how a run ended, makes it `unknown`.
 */
import type { Readable } from 'node:stream';
import { maxLogBytes } from '../../domain/limits.ts';
import { isTerminal } from '../../domain/states.ts';
import type { RunSpec } from '../../protocol/run-spec.ts';
import { Backoff, type Clock, sleep } from '../../shared/clock.ts';
import { type ErrorCode, FleetError, toFleetError } from '../../shared/errors.ts';
import type { Logger } from '../../shared/logger.ts';
import type { Link } from '../nodes/links.ts';
import { LogTooLong, receiveLog } from './log-receiver.ts';
import type { NodeClient } from './node-client.ts';
import { EXPIRED, isOver, takesPlace } from './run-facts.ts';
import type { BusStore, RunRecord } from './runs-table.ts';

interface HandedOver {
  /** The run's log from its beginning, unless the node did not send it along. */
  log: Readable | undefined;
  /** Resolves when it is stored that the node has the run. What it rejects with breaks the log off. */
  stored: Promise<void>;
}

/** Pauses between attempts while the tunnel stands, ms. */
const RETRY = { initialMs: 100, maxMs: 5_000 } as const;
/** The node has said that it will not do this. */
const REJECTIONS: ReadonlySet<ErrorCode> = new Set(['forbidden', 'policy_denied', 'no_such_agent']);

export interface RunCarrierOptions {
  store: BusStore;
  clock: Clock;
  logger: Logger;
  random: () => number;
  /** Resolves once the node is online, with its session; undefined when `signal` aborts first. */
  whenOnline(nodeId: string, signal: AbortSignal): Promise<Link | undefined>;
  isOnline(nodeId: string): boolean;
  /** Resolves with what gives the place back; undefined when `signal` aborts first. */
  takePlace(signal: AbortSignal): Promise<(() => void) | undefined>;
  clientOf(session: Link): NodeClient;
  specOf(run: RunRecord): RunSpec;
  /** Somebody takes all of its output, also what is not kept. */
  whole: boolean;
  /** All of the run is stored: its node may drop it. */
  acknowledge(run: RunRecord): void;
  /** Tells followers that the store has something new about the run. */
  changed(run: RunRecord): void;
  /** The command is over, though its output may go on. */
  onExited(): void;
  /** The node may have the run from now on. */
  handingOver(run: RunRecord): void;
}

export class RunCarrier {
  readonly #options: RunCarrierOptions;
  readonly #id: string;
  /** Aborts when the gateway shuts down, or the run has ended without its node. */
  readonly #signal: AbortSignal;
  readonly #logger: Logger;
  #client: NodeClient | undefined;
  #place: (() => void) | undefined;
  /** Whether the node may have the run: a hand-over was begun, by this process or a former one. */
  #handOverBegun: boolean;

  /** `isNew` when this process has accepted the run just now: whatever is noted of a hand-over, none was begun. */
  constructor(run: RunRecord, signal: AbortSignal, isNew: boolean, options: RunCarrierOptions) {
    this.#options = options;
    this.#handOverBegun = run.handedOverAt !== null && !isNew;
    this.#id = run.id;
    this.#signal = signal;
    this.#logger = options.logger.child({ run: run.id, node: run.nodeName });
  }

  /**
   * Resolves when the run has ended or the gateway shuts down; never rejects. `place`, among the runs in flight, is held during attempts
   * only: an absent node has none. With `unlessAway` it also resolves when the node is away and the run has not begun.
   */
  async carry(place: (() => void) | undefined, unlessAway: boolean): Promise<void> {
    const backoff = new Backoff({ ...RETRY, random: this.#options.random });
    const signal = this.#signal;
    this.#place = place;
    try {
      while (!signal.aborted && !isOver(this.#run())) {
        const { nodeId, handedOverAt } = this.#run();
        if (!this.#options.isOnline(nodeId)) {
          this.givePlaceBack();
          if (unlessAway && handedOverAt === null) return;
        }
        const session = await this.#options.whenOnline(nodeId, signal);
        if (session === undefined || !(await this.#takePlace()) || session.ended) continue;
        try {
          await this.#attempt(session);
          return;
        } catch (error) {
          if (signal.aborted) return;
          const failure = toFleetError(error);
          this.#logger.info({ code: failure.code, reason: failure.message }, 'attempt to carry a run failed');
          this.givePlaceBack();
          await sleep(this.#options.clock, backoff.next(), signal);
        } finally {
          this.#client = undefined;
        }
      }
    } finally {
      this.givePlaceBack();
    }
  }

  /** The command is over, or its node is away, or nobody waits for it any more. */
  givePlaceBack(): void {
    this.#place?.();
    this.#place = undefined;
  }

  /** False when the run needs none any more. What only has to be confirmed takes no place from what is in progress. */
  async #takePlace(): Promise<boolean> {
    if (this.#place === undefined && takesPlace(this.#run())) {
      this.#place = await this.#options.takePlace(this.#signal);
    }
    return !this.#signal.aborted && !isOver(this.#run());
  }

  /** The store says that the run is to be canceled: passes it on to the node. Of one that is away, the next attempt does that. */
  async cancel(): Promise<void> {
    await this.#client?.cancel(this.#id);
  }

  async #attempt(session: Link): Promise<void> {
    const client = this.#options.clientOf(session);
    this.#client = client;
    let run = this.#run();
    let handed: HandedOver | undefined;
    if (run.state === 'queued') {
      handed = await this.#handOver(client, session);
      if (handed === undefined) return;
    } else if (run.journal !== (session.journal ?? null)) {
      return await this.#unknown('node_lost_journal: the node cannot say what became of it');
    }
    run = this.#run();
    if (run.cancelReason !== null && !isOver(run)) {
      // The node answers when the process group is gone; the log tells the same, so nobody waits for this answer.
      client
        .cancel(run.id)
        .catch((error: unknown) => this.#logger.info({ err: error }, 'cancel did not reach the node'));
    }
    try {
      // A log that comes along begins at its beginning; some of it may be stored from a hand-over that could not be noted.
      const along = run.logBytes === 0 ? handed?.log : undefined;
      if (along === undefined) {
        handed?.log?.destroy();
        await handed?.stored;
      }
      const stream = along ?? (await client.openLog(run.id, run.logBytes, this.#signal));
      const { store, specOf, changed } = this.#options;
      const limit = maxLogBytes(specOf(run).maxOutputBytes);
      const onExited = (): void => {
        this.givePlaceBack();
        this.#options.onExited();
      };
      await receiveLog(stream, { store, run, maxLogBytes: limit, onStored: () => changed(run), onExited });
    } catch (error) {
      await handed?.stored.catch(() => {});
      if (error instanceof LogTooLong) return await this.#sentTooMuch(client, error);
      const failure = toFleetError(error);
      if (failure.code === 'not_found') return await this.#unknown('node_lost_run: the node no longer knows it');
      if (this.#signal.aborted || !(await this.#endWithoutLog(client, failure))) throw failure;
    }
    this.#options.acknowledge(run);
  }

  /**
   * The node's log can be shorter than what is stored here, when a power cut took what its disk had not kept yet; no byte of
   * it can be asked for then, but the journal still knows the end. False when there may be more to read.
   */
  async #endWithoutLog(client: NodeClient, failure: FleetError): Promise<boolean> {
    const { outcome, logBytes } = await client.status(this.#id, this.#signal);
    if (outcome === null || (failure.retryable && logBytes > this.#run().logBytes)) return false;
    const { state, ...ended } = outcome;
    await this.#end(() => this.#options.store.runs.move(this.#id, state, ended));
    return true;
  }

  /** Hands a queued run over; undefined when the run has ended by that: refused, expired, canceled, or nobody can know. */
  async #handOver(client: NodeClient, session: Link): Promise<HandedOver | undefined> {
    const { store } = this.#options;
    const run = this.#run();
    const again = this.#handOverBegun;
    if (again && run.journal !== (session.journal ?? null)) {
      await this.#end(() => {
        store.runs.move(run.id, 'delivered');
        return store.runs.move(
          run.id,
          'unknown',
          this.#endNow('node_lost_journal: the node cannot say whether it ran'),
        );
      });
      return undefined;
    }
    if (again && (run.cancelReason !== null || this.#isDue(run)) && !(await this.#nodeHas(client))) {
      await this.#end(() =>
        run.cancelReason === null
          ? store.runs.move(run.id, 'expired', this.#endNow(EXPIRED))
          : store.runs.move(run.id, 'canceled', this.#endNow(run.cancelReason)),
      );
      return undefined;
    }
    if (!again && !(await this.#noteHandOver(session))) return undefined;
    this.#handOverBegun = true;
    this.#options.handingOver(run);
    let log: Readable | undefined;
    try {
      log = await client.handOver(this.#options.specOf(run), this.#signal, this.#options.whole);
    } catch (error) {
      const failure = toFleetError(error);
      if (failure.code === 'busy' && !again && (await this.#takeBack())) return undefined;
      if (failure.code === 'not_running' || (failure.retryable && failure.code !== 'storage_failed')) throw failure;
      // A refusal says nothing about an earlier hand-over whose answer was lost, and an unreadable answer is none.
      const mayHave = again || failure.code === 'protocol_unsupported';
      if (!mayHave || !(await this.#nodeHas(client))) {
        await this.#refused(failure);
        return undefined;
      }
    }
    return await this.#delivered(log);
  }

  /** The node has the run. That is stored while its log comes; the log is of no use if it cannot be. */
  async #delivered(log: Readable | undefined): Promise<HandedOver> {
    const { store, clock } = this.#options;
    const deliveredAt = clock.now();
    // Need not outlive a power cut: the run is then handed over again, and the node says that it has it.
    const stored = store
      .writeSoon(() => store.runs.move(this.#id, 'delivered', { deliveredAt }))
      .then((run) => this.#options.changed(run));
    if (log === undefined) await stored;
    else {
      // Whoever reads it hears of it; by then it may have been read to its end.
      log.on('error', () => {});
      stored.catch((error: Error) => log.destroy(error));
    }
    return { log, stored };
  }

  /** Notes, before the first hand-over, that the node may have the run from now on. False when the run has ended instead. */
  async #noteHandOver(session: Link): Promise<boolean> {
    const { store, clock } = this.#options;
    const journal = session.journal ?? '';
    const known = this.#run();
    const { handedOverAt, cancelReason, journal: noted } = known;
    // The submission's own write has noted it already.
    if (handedOverAt !== null && noted === journal && cancelReason === null && !this.#isDue(known)) return true;
    const run = await store.write(() => {
      const present = this.#run();
      if (present.state !== 'queued') return present;
      if (present.cancelReason !== null) {
        return store.runs.move(this.#id, 'canceled', this.#endNow(present.cancelReason));
      }
      const now = clock.now();
      // The timer of the deadline stands still while the gateway's machine sleeps.
      if (this.#isDue(present)) {
        return store.runs.move(this.#id, 'expired', this.#endNow(EXPIRED));
      }
      return store.runs.noteHandOver(present, now, journal);
    });
    if (!isTerminal(run.state)) return true;
    this.#options.changed(run);
    return false;
  }

  /** Whether the run must not begin any more. */
  #isDue({ expiresAt }: RunRecord): boolean {
    return expiresAt !== null && expiresAt <= this.#options.clock.now();
  }

  /** The node's policy allows no more runs at once, and it has not taken this one: it may expire or be canceled. True when it was canceled meanwhile. */
  async #takeBack(): Promise<boolean> {
    const { store } = this.#options;
    const run = await store.write(() => {
      const { seq, cancelReason } = this.#run();
      if (cancelReason !== null) return store.runs.move(this.#id, 'canceled', this.#endNow(cancelReason));
      store.runs.takeBackHandOver(seq);
      return undefined;
    });
    this.#handOverBegun = false;
    if (run !== undefined) this.#options.changed(run);
    return run !== undefined;
  }

  /** Whether the node's journal has the run. */
  async #nodeHas(client: NodeClient): Promise<boolean> {
    try {
      await client.status(this.#id, this.#signal);
      return true;
    } catch (error) {
      if (toFleetError(error).code === 'not_found') return false;
      throw error;
    }
  }

  /** The node said no before it journaled anything: certain that nothing ran. */
  async #refused(failure: FleetError): Promise<void> {
    const { store } = this.#options;
    const reason = `${failure.code}: ${failure.message}`;
    await this.#end(() => {
      if (REJECTIONS.has(failure.code)) return store.runs.move(this.#id, 'rejected', this.#endNow(reason));
      store.runs.move(this.#id, 'delivered');
      return store.runs.move(this.#id, 'failed_to_start', this.#endNow(reason));
    });
  }

  /** Nothing that this node says of the run can be believed; what it may still run is ended if it can be. */
  async #sentTooMuch(client: NodeClient, { message }: LogTooLong): Promise<void> {
    await this.#unknown(`node_sent_too_much: ${message}`);
    client
      .cancel(this.#id)
      .catch((error: unknown) => this.#logger.info({ err: error }, 'cancel did not reach the node'));
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
