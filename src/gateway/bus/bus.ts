/** The command bus: accepts jobs durably, lets each node's queue carry them, and picks up where a former process stopped. */
import type { Readable } from 'node:stream';
import { isTerminal } from '../../domain/states.ts';
import type { SubmitJobRequest } from '../../protocol/job-messages.ts';
import type { Clock } from '../../shared/clock.ts';
import type { Logger } from '../../shared/logger.ts';
import type { Link } from '../nodes/links.ts';
import type { NodeRecord } from '../nodes/nodes-table.ts';
import type { Sessions } from '../nodes/sessions.ts';
import { Acknowledger } from './acknowledger.ts';
import { Carriers, type Submission } from './carriers.ts';
import { AnswerDeadlines, Deadlines } from './deadlines.ts';
import { Endings } from './endings.ts';
import { runFlow } from './job-flow.ts';
import type { JobRecord } from './jobs-table.ts';
import { NodeClient } from './node-client.ts';
import { NodeQueue, placeOf } from './node-queue.ts';
import { agentLimit, groupByJob, hasFlow, isOver, notBegun, RunFeed, succeeded } from './run-facts.ts';
import type { BusStore, RunRecord } from './runs-table.ts';
import { forwardStdin, type StdinOutcome } from './stdin-forward.ts';
import { storeJob } from './store-job.ts';

interface BusOptions {
  store: BusStore;
  sessions: Sessions;
  clock: Clock;
  logger: Logger;
  random: () => number;
  concurrencyPerNode: number;
  maxRunsInFlight: number;
  /** Output of one run that is kept, bytes. */
  maxOutputBytes: number;
  /** Whether agents of a node are used only once an admin has approved them. */
  approveCapabilities?: boolean;
  signTicket(run: { id: string; nodeId: string }, body: Buffer): string;
}

/** A run that has not ended, from the moment it is queued. */
interface InHand {
  /** Resolves when it has ended, though its queue may not have come to it. */
  ended: PromiseWithResolvers<void>;
  /** Takes it out of its queue, and ends the attempts to carry it. */
  leave: AbortController;
}

export class Bus {
  readonly feed = new RunFeed();
  readonly carriers: Carriers;
  readonly #options: BusOptions;
  readonly #queues = new Map<string, NodeQueue>();
  readonly #endings: Endings;
  readonly #deadlines: Deadlines;
  readonly #answers: AnswerDeadlines;
  readonly #acknowledger: Acknowledger;
  /** Streams of stdin that are being sent, or wait for their run. */
  readonly #stdins = new Map<Readable, Promise<StdinOutcome>>();
  readonly #inHand = new Map<string, InHand>();
  readonly #shutdown = new AbortController();

  constructor(options: BusOptions) {
    this.#options = options;
    const { clock, logger, store } = options;
    this.#endings = new Endings({
      store,
      clock,
      settle: (run) => this.#settle(run),
      givenUp: (run) => this.#givenUp(run),
    });
    this.#answers = new AnswerDeadlines({
      store,
      clock,
      clientOf: (nodeId) => this.#clientOfNode(nodeId),
      giveUp: (id, reason) => this.#endings.giveUp(id, reason),
      onFailure: this.#logFailure,
    });
    this.carriers = new Carriers({
      ...options,
      feed: this.feed,
      clientOf: (session) => this.#clientOf(session),
      acknowledge: (run) => this.#acknowledger.add(run),
      changed: (run) => this.feed.changed(run),
      handingOver: (run) => this.#answers.arm(run),
    });
    this.#deadlines = new Deadlines({ clock, expire: (id) => this.#endings.expire(id), onFailure: this.#logFailure });
    this.#acknowledger = new Acknowledger({
      sync: () => store.sync(),
      clientOf: (nodeId) => this.#clientOfNode(nodeId),
      isStored: (id) => {
        const run = store.runs.byId(id);
        return run === undefined || isOver(run);
      },
      clock,
      logger,
    });
  }

  /** Takes up every run without an end, in the order in which it was accepted. */
  start(): void {
    const { store, sessions } = this.#options;
    sessions.onChange({
      online: (session) => this.#nodeOnline(session),
      offline: ({ nodeId }) => this.#nodeOffline(nodeId),
    });
    const living = new Set(store.nodes.all().flatMap(({ id, revokedAt }) => (revokedAt === null ? [id] : [])));
    const owed = store.runs.unconfirmed();
    const stored = [...owed, ...store.runs.open()];
    for (const nodeId of new Set(stored.map((run) => run.nodeId))) {
      if (!living.has(nodeId)) this.abandon(nodeId, 'node_gone: it was removed or revoked').catch(this.#logFailure);
    }
    const open = stored.filter(({ nodeId }) => living.has(nodeId));
    const jobs = new Map([...new Set(open.map(({ jobId }) => jobId))].map((id) => [id, store.jobs.byId(id)]));
    const inFlow = ({ jobId, state }: RunRecord): boolean => !isTerminal(state) && hasFlow(jobs.get(jobId));
    // What a node may already have goes first, so that its place among the node's concurrent runs is not taken.
    const begun = open.filter((run) => run.handedOverAt !== null && !inFlow(run));
    const others = open.filter((run) => run.handedOverAt === null || inFlow(run));
    const flows = groupByJob(open.filter(inFlow));
    for (const run of [...begun, ...others]) {
      const job = jobs.get(run.jobId);
      if (job === undefined) continue;
      this.#deadlines.arm(run);
      this.#answers.arm(run);
      if (!inFlow(run)) this.#enqueue(job, run).catch(this.#logFailure);
      else if (flows.has(job.id)) this.#release(job, flows.get(job.id) ?? []);
      flows.delete(job.id);
    }
  }

  /**
   * Stores a job with one run for each of `nodes`; resolves once it is durable. Runs of nodes that are offline now, and may not wait, end
   * at once. The same idempotency key of the same submitter gives the job of the first time. `whole`: see live-output.ts.
   */
  async submit(
    request: SubmitJobRequest & { whole?: boolean },
    nodes: readonly NodeRecord[],
    target: string,
    submitter: string,
  ): Promise<{ job: JobRecord; runs: RunRecord[] }> {
    const stored = Promise.withResolvers<boolean>();
    try {
      const accepted = await this.#options.store.write(() => {
        const { isNew, job, runs } = storeJob(request, nodes, target, submitter, this.#options);
        return { isNew, job, runs: isNew ? this.#takePlaces(job, runs, stored.promise) : runs };
      });
      if (accepted.isNew) for (const run of accepted.runs.filter(notBegun)) this.#deadlines.arm(run);
      stored.resolve(true);
      return accepted;
    } catch (error) {
      stored.resolve(false);
      throw error;
    }
  }

  /**
   * Within the write that stores them, so that the order of the queues is the order of acceptance, and so that a run whose turn is now
   * needs no write of its own for the note that its node may have it. They go on once `stored` says that the write has held.
   */
  #takePlaces(job: JobRecord, runs: readonly RunRecord[], stored: Promise<boolean>): RunRecord[] {
    const { store, sessions, clock } = this.#options;
    if (hasFlow(job)) {
      this.#release(job, runs.filter(notBegun), stored);
      return [...runs];
    }
    return runs.map((run) => {
      if (isTerminal(run.state)) return run;
      let isTurn = false;
      this.#enqueue(job, run, { stored, onTurn: () => (isTurn = true) }).catch(this.#logFailure);
      const session = sessions.online(run.nodeId);
      if (!isTurn || session === undefined) return run;
      return store.runs.noteHandOver(run, clock.now(), session.journal ?? '');
    });
  }

  /** Asks for the end of the given runs. Those that no node has seen end at once; the others when their node confirms it. */
  async cancel(runs: readonly RunRecord[], reason: string): Promise<void> {
    const { logger } = this.#options;
    for (const run of await this.#endings.cancel(runs, reason)) {
      // Of a run that its node has, and that waits here for its turn to be followed, the node alone can make an end.
      const carrier = this.carriers.get(run.id);
      this.#answers.arm(run);
      const passedOn = carrier === undefined ? this.#clientOfNode(run.nodeId)?.cancel(run.id) : carrier.cancel();
      passedOn?.catch((error: unknown) =>
        logger.info({ err: error, run: run.id }, 'cancel will be repeated when the node is back'),
      );
    }
  }

  /** The node will never come back: cancels what it never got; what became of the rest nobody can say. */
  abandon(nodeId: string, reason: string): Promise<void> {
    return this.#endings.abandon(nodeId, reason);
  }

  /** Sends `stream` to the command's stdin, once it has been handed over. A stream that breaks cancels the run. */
  async forwardStdin(run: RunRecord, stream: Readable): Promise<StdinOutcome> {
    const forwarded = forwardStdin(run, stream, {
      feed: this.feed,
      current: () => this.#options.store.runs.byId(run.id) ?? run,
      client: () => this.#clientOfNode(run.nodeId),
      cancel: (reason) => this.cancel([run], reason),
    });
    this.#stdins.set(stream, forwarded);
    return await forwarded.finally(() => this.#stdins.delete(stream));
  }

  /** What is held in memory for runs that have not ended. */
  get counts(): { queues: number; inHand: number } {
    return { queues: this.#queues.size, inHand: this.#inHand.size };
  }

  /** Begins nothing more and lets go of what runs on nodes: it is carried on by the next process. */
  async close(): Promise<void> {
    this.#shutdown.abort();
    this.#deadlines.close();
    this.#answers.close();
    this.#acknowledger.close();
    for (const queue of this.#queues.values()) queue.pause();
    for (const { leave } of this.#inHand.values()) leave.abort();
    // Whose senders are cut off with us: their runs must not wait for the rest.
    for (const stream of this.#stdins.keys()) stream.destroy();
    await Promise.allSettled(this.#stdins.values());
    await this.carriers.ended();
  }

  /** Of a job that has a flow. */
  #release(job: JobRecord, runs: RunRecord[], stored?: Promise<boolean>): void {
    if (runs.length === 0) return;
    const all = this.#options.store.runs.ofJob(job.id);
    runFlow(runs, {
      flow: job.options.flow ?? {},
      totalRuns: all.length,
      failuresBefore: all.filter((run) => isTerminal(run.state) && !succeeded(run)).length,
      ready: (run) => this.#ready(run, stored),
      release: (run) => this.#enqueue(job, run, stored && { stored }, true),
      drop: (run) => this.#endings.drop(run.id),
      signal: this.#shutdown.signal,
    }).catch(this.#logFailure);
  }

  /** Resolves when the run's node is online, the run has ended, or the gateway shuts down. */
  async #ready({ id, nodeId }: RunRecord, stored: Promise<boolean> | undefined): Promise<void> {
    const { store, sessions } = this.#options;
    if (sessions.online(nodeId) !== undefined || isTerminal(store.runs.byId(id)?.state ?? 'unknown')) return;
    const inHand = this.#takeInHand(id, stored);
    await Promise.race([this.carriers.whenOnline(nodeId, inHand.leave.signal), inHand.ended.promise]);
    inHand.leave.abort();
    this.#inHand.delete(id);
  }

  #takeInHand(runId: string, stored: Promise<boolean> | undefined): InHand {
    const inHand = { ended: Promise.withResolvers<void>(), leave: new AbortController() };
    this.#inHand.set(runId, inHand);
    if (this.#shutdown.signal.aborted) inHand.leave.abort();
    void stored?.then((held) => held || inHand.leave.abort());
    return inHand;
  }

  /**
   * Resolves with whether the run succeeded, once it has ended or the gateway shuts down; with `unlessAway`, with undefined when its node
   * goes away before the run has begun.
   */
  async #enqueue(
    job: JobRecord,
    run: RunRecord,
    submission?: Submission,
    unlessAway = false,
  ): Promise<boolean | undefined> {
    const { store } = this.#options;
    // What is just being stored cannot have changed since.
    const present = submission?.onTurn === undefined ? store.runs.byId(run.id) : run;
    if (present !== undefined && !isOver(present)) {
      const inHand = this.#takeInHand(run.id, submission?.stored);
      const { signal } = inHand.leave;
      const carry = (onExited: () => void): Promise<void> =>
        this.carriers.carry(job, run.id, { signal, unlessAway, submission, onExited });
      const onAway = unlessAway && notBegun(present) ? (): void => inHand.leave.abort() : undefined;
      const place = { ...placeOf(job, run, () => store.nodes.byId(run.nodeId)?.facts), onAway };
      const leave = (): void => this.#forget(run.nodeId, run.id);
      const turn = this.#queueOf(run.nodeId).add(place, carry, signal).finally(leave);
      // A run that was given up keeps its turn until its node confirms its end: lanes never overlap.
      await Promise.race([turn, inHand.ended.promise]);
    }
    const ended = store.runs.byId(run.id);
    if (unlessAway && ended !== undefined && notBegun(ended) && !this.#shutdown.signal.aborted) return undefined;
    this.#deadlines.disarm(run.id);
    this.#answers.disarm(run.id);
    return ended !== undefined && succeeded(ended);
  }

  /** Everybody goes on without the run; its lane alone stays held. */
  #givenUp(run: RunRecord): void {
    this.carriers.get(run.id)?.givePlaceBack();
    this.#inHand.get(run.id)?.ended.resolve();
    this.feed.changed(run);
    this.#options.logger.warn({ run: run.id, node: run.nodeName, reason: run.reason }, 'a run was given up');
  }

  /** A run has ended without its node: tells whoever waits for that. */
  #settle(run: RunRecord): void {
    const inHand = this.#inHand.get(run.id);
    inHand?.ended.resolve();
    inHand?.leave.abort();
    this.feed.changed(run);
  }

  readonly #logFailure = (error: unknown): void => {
    this.#options.logger.error({ err: error }, 'the bus could not go on with a job');
  };

  #queueOf(nodeId: string): NodeQueue {
    let queue = this.#queues.get(nodeId);
    if (queue === undefined) {
      queue = new NodeQueue(this.#options.concurrencyPerNode);
      if (this.#options.sessions.online(nodeId) !== undefined) queue.resume();
      this.#queues.set(nodeId, queue);
    }
    return queue;
  }

  /** A queue is as good as a new one when nothing is in it, and a node that is away may never come back. */
  #forget(nodeId: string, runId?: string): void {
    if (runId !== undefined) this.#inHand.delete(runId);
    const isAway = this.#options.sessions.online(nodeId) === undefined;
    if (isAway && this.#queues.get(nodeId)?.idle) this.#queues.delete(nodeId);
  }

  #nodeOffline(nodeId: string): void {
    this.#queues.get(nodeId)?.pause();
    this.#forget(nodeId);
  }

  #nodeOnline(session: Link): void {
    this.carriers.nodeOnline(session);
    const queue = this.#queues.get(session.nodeId);
    const facts = queue && this.#options.store.nodes.byId(session.nodeId)?.facts;
    queue?.limitAgents((agent) => agentLimit(facts, agent));
    queue?.resume();
    this.#acknowledger.catchUp(this.#clientOf(session), session.nodeName);
  }

  #clientOfNode(nodeId: string): NodeClient | undefined {
    const session = this.#options.sessions.online(nodeId);
    return session && this.#clientOf(session);
  }

  #clientOf(session: Link): NodeClient {
    return new NodeClient({ agent: session.agent, name: session.nodeName, signTicket: this.#options.signTicket });
  }
}
