/** Takes one run from its turn in the queue to its end: hands it over, follows its log, and continues after every lost connection. */
import type { Readable } from 'node:stream';
import { maxLogBytes } from '../../domain/limits.ts';
import { Backoff, sleep } from '../../shared/clock.ts';
import { type ErrorCode, FleetError, toFleetError } from '../../shared/errors.ts';
import type { Logger } from '../../shared/logger.ts';
import type { BusContext } from './bus-context.ts';
import { decideHandOver, type HandOver, type RunEnd } from './hand-over.ts';
import type { JobRecord } from './jobs-table.ts';
import { LogTooLong, receiveLog } from './log-receiver.ts';
import type { NodeClient } from './node-client.ts';
import { buildRunSpec, isOver, needsSlot } from './run-facts.ts';
import type { RunRecord } from './runs-table.ts';

/** Pauses between attempts while the node is online, ms. */
const RETRY = { initialMs: 100, maxMs: 5_000 } as const;
/** Codes with which a node declines a run. */
const REJECTIONS: ReadonlySet<ErrorCode> = new Set(['forbidden', 'policy_denied', 'no_such_agent']);

interface DispatchOptions {
  job: JobRecord;
  run: RunRecord;
  /** Whether this process has just accepted the run, so that no hand-over can have been sent. */
  isNew: boolean;
  /** Return when the node goes away before the run has begun. */
  unlessAway: boolean;
  /** Frees the slot that the run holds already. */
  freeSlot: (() => void) | undefined;
  /** Aborts when the run has ended without its node, or the gateway shuts down. */
  signal: AbortSignal;
  /** A hand-over is about to be sent. */
  onSend(): void;
  /** The command has exited, though its output may continue. */
  onExited(): void;
}

interface HandedOver {
  /** The run's log from its beginning, if the node sent it with its answer. */
  log?: Readable | undefined;
  /** Resolves once it is stored that the node has the run; rejecting breaks the log off. */
  stored?: Promise<void>;
}

export class RunDispatcher {
  readonly #context: BusContext;
  readonly #options: DispatchOptions;
  readonly #id: string;
  readonly #signal: AbortSignal;
  readonly #logger: Logger;
  #freeSlot: (() => void) | undefined;
  /** Whether the node may have received a hand-over. */
  #sent: boolean;

  constructor(context: BusContext, options: DispatchOptions) {
    const { run, isNew } = options;
    this.#context = context;
    this.#options = options;
    this.#id = run.id;
    this.#signal = options.signal;
    this.#freeSlot = options.freeSlot;
    this.#sent = run.handedOverAt !== null && !isNew;
    this.#logger = context.logger.child({ run: run.id, node: run.nodeName });
  }

  /** Resolves when the run has ended, or on `signal` or `unlessAway`. The slot is held only during attempts: an absent node takes none. */
  async dispatch(): Promise<void> {
    const { nodes, clock, random } = this.#context;
    const backoff = new Backoff({ ...RETRY, random });
    const signal = this.#signal;
    try {
      while (!signal.aborted && !isOver(this.#run())) {
        const { nodeId, handedOverAt } = this.#run();
        if (nodes.online(nodeId) === undefined) {
          this.freeSlot();
          if (this.#options.unlessAway && handedOverAt === null) return;
        }
        const client = await nodes.whenOnline(nodeId, signal);
        if (client === undefined || !(await this.#takeSlot()) || client.link.ended) continue;
        try {
          return await this.#attempt(client);
        } catch (error) {
          if (signal.aborted) return;
          const failure = toFleetError(error);
          this.#logger.info({ code: failure.code, reason: failure.message }, 'an attempt to run a job failed');
          this.freeSlot();
          await sleep(clock, backoff.next(), signal);
        }
      }
    } finally {
      this.freeSlot();
    }
  }

  /** The command has exited, its node is away, or nothing waits for the run any more. */
  freeSlot(): void {
    this.#freeSlot?.();
    this.#freeSlot = undefined;
  }

  /** False if the run was over first. */
  async #takeSlot(): Promise<boolean> {
    if (this.#freeSlot === undefined && needsSlot(this.#run())) {
      this.#freeSlot = await this.#context.slots.take(this.#signal);
    }
    return !this.#signal.aborted && !isOver(this.#run());
  }

  async #attempt(client: NodeClient): Promise<void> {
    const { store, feed, acknowledger } = this.#context;
    const handed = await this.#handOver(client);
    if (handed === undefined) return;
    const run = this.#run();
    // The node answers once the process group is gone. The log says so too, so nothing waits for that answer.
    if (run.cancelReason !== null && !isOver(run)) this.#cancel(client);
    try {
      // A log sent with the answer starts at its beginning; part of it may be stored from a hand-over that could not be recorded.
      let stream = run.logBytes === 0 ? handed.log : undefined;
      if (stream === undefined) {
        handed.log?.destroy();
        await handed.stored;
        stream = await client.openLog(run.id, run.logBytes, this.#signal);
      }
      const onExited = (): void => {
        this.freeSlot();
        this.#options.onExited();
      };
      const limit = maxLogBytes(this.#spec(run).maxOutputBytes);
      await receiveLog(stream, { store, run, maxLogBytes: limit, onStored: () => feed.changed(run), onExited });
    } catch (error) {
      await handed.stored?.catch(() => {});
      if (error instanceof LogTooLong) {
        await this.#end({ state: 'unknown', reason: `node_sent_too_much: ${error.message}` });
        this.#cancel(client);
        return;
      }
      const failure = toFleetError(error);
      if (failure.code === 'not_found') {
        await this.#end({ state: 'unknown', reason: 'node_lost_run: the node no longer knows it' });
        return;
      }
      if (this.#signal.aborted || !(await this.#endWithoutLog(client, failure))) throw failure;
    }
    acknowledger.add(run);
  }

  /**
   * After a power cut, the node's log may be shorter than what is stored here. Nothing more can be read then, but the node's journal still
   * knows the end. False if there may be more to read.
   */
  async #endWithoutLog(client: NodeClient, failure: FleetError): Promise<boolean> {
    const { outcome, logBytes } = await client.status(this.#id, this.#signal);
    if (outcome === null || (failure.retryable && logBytes > this.#run().logBytes)) return false;
    const { state, ...ended } = outcome;
    await this.#write(() => this.#context.store.runs.move(this.#id, state, ended));
    return true;
  }

  /** Brings the run to its node unless it is there already; undefined if the run has ended instead. */
  async #handOver(client: NodeClient): Promise<HandedOver | undefined> {
    let decision = this.#decide(client);
    if (decision.step === 'record' || decision.step === 'end') decision = await this.#record(client);
    switch (decision.step) {
      case 'none':
      case 'end':
        return undefined;
      case 'follow':
        return {};
      case 'ask':
        if (await this.#nodeHas(client)) return await this.#send(client);
        await this.#end(decision.otherwise);
        return undefined;
      case 'record':
      case 'send':
        return await this.#send(client);
    }
  }

  #decide({ link }: NodeClient): HandOver {
    const session = { journal: link.journal, sent: this.#sent };
    return decideHandOver(this.#run(), session, this.#context.clock.now());
  }

  /** Decides again within the transaction that stores the decision, so that a cancel comes either before or after it. */
  async #record(client: NodeClient): Promise<HandOver> {
    const { store, clock, feed } = this.#context;
    const decision = await store.write(() => {
      const decided = this.#decide(client);
      if (decided.step === 'record') store.runs.noteHandOver(this.#run(), clock.now(), client.link.journal ?? '');
      if (decided.step === 'end') store.runs.end(this.#id, decided.end.state, decided.end.reason, clock.now());
      return decided;
    });
    if (decision.step === 'end' || decision.step === 'none') feed.changed(this.#run());
    return decision;
  }

  async #send(client: NodeClient): Promise<HandedOver | undefined> {
    const isRepeated = this.#sent;
    this.#sent = true;
    this.#options.onSend();
    let log: Readable | undefined;
    try {
      const { whole = false } = this.#options.job.options;
      log = await client.handOver(this.#spec(this.#run()), this.#signal, whole);
    } catch (error) {
      const failure = toFleetError(error);
      if (failure.code === 'busy' && !isRepeated && (await this.#takeBack())) return undefined;
      if (failure.code === 'not_running' || (failure.retryable && failure.code !== 'storage_failed')) throw failure;
      // A refusal proves nothing about an earlier hand-over whose answer was lost, and an unreadable answer is not a refusal.
      const mayHave = isRepeated || failure.code === 'protocol_unsupported';
      if (!mayHave || !(await this.#nodeHas(client))) {
        await this.#refused(failure);
        return undefined;
      }
    }
    return await this.#delivered(log);
  }

  /** Stores that the node has the run while its log is being received. */
  async #delivered(log: Readable | undefined): Promise<HandedOver> {
    const { store, clock, feed } = this.#context;
    const deliveredAt = clock.now();
    // Need not survive a power cut: the run is then handed over again, and the node says that it has it.
    const stored = store
      .writeSoon(() => store.runs.move(this.#id, 'delivered', { deliveredAt }))
      .then((run) => feed.changed(run));
    if (log === undefined) await stored;
    else {
      // Its reader handles errors; it may have been read to the end before one.
      log.on('error', () => {});
      stored.catch((error: Error) => log.destroy(error));
    }
    return { log, stored };
  }

  /** The node is too busy for the run and does not have it: until the next attempt it may expire or be canceled. True if it was canceled meanwhile. */
  async #takeBack(): Promise<boolean> {
    const { store, clock, feed } = this.#context;
    const canceled = await store.write(() => {
      const { seq, cancelReason } = this.#run();
      if (cancelReason !== null) return store.runs.end(this.#id, 'canceled', cancelReason, clock.now());
      store.runs.takeBackHandOver(seq);
      return undefined;
    });
    this.#sent = false;
    if (canceled !== undefined) feed.changed(canceled);
    return canceled !== undefined;
  }

  /** Whether the node's journal contains the run. */
  async #nodeHas(client: NodeClient): Promise<boolean> {
    try {
      await client.status(this.#id, this.#signal);
      return true;
    } catch (error) {
      if (toFleetError(error).code === 'not_found') return false;
      throw error;
    }
  }

  /** The node declined before it journaled anything, so nothing ran. */
  async #refused({ code, message }: FleetError): Promise<void> {
    const state = REJECTIONS.has(code) ? 'rejected' : 'failed_to_start';
    await this.#end({ state, reason: `${code}: ${message}` });
  }

  #cancel(client: NodeClient): void {
    client
      .cancel(this.#id)
      .catch((error: unknown) => this.#logger.info({ err: error }, 'a cancel did not reach the node'));
  }

  async #end({ state, reason }: Pick<RunEnd, 'reason'> & Pick<RunRecord, 'state'>): Promise<void> {
    const { store, clock } = this.#context;
    await this.#write(() => store.runs.end(this.#id, state, reason, clock.now()));
  }

  async #write(work: () => RunRecord): Promise<void> {
    this.#context.feed.changed(await this.#context.store.write(work));
  }

  #spec(run: RunRecord) {
    return buildRunSpec(this.#options.job, run);
  }

  #run(): RunRecord {
    const run = this.#context.store.runs.byId(this.#id);
    if (run === undefined) throw new FleetError('not_found', `there is no run ${this.#id}`);
    return run;
  }
}
