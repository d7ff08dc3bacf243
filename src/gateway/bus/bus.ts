/** The command bus: accepts jobs durably, lets each node's queue carry them, and picks up where a former process stopped. */
import type { Readable } from 'node:stream';
import PQueue from 'p-queue';
import type { SubmitJobRequest } from '../../protocol/job-messages.ts';
import { isTerminal } from '../../protocol/run-state.ts';
import type { Clock } from '../../shared/clock.ts';
import type { Logger } from '../../shared/logger.ts';
import type { Session, Sessions } from '../sessions.ts';
import type { JobRecord } from '../store/jobs-table.ts';
import type { NodeRecord } from '../store/nodes-table.ts';
import type { RunRecord } from '../store/runs-table.ts';
import type { Store } from '../store/store.ts';
import { Acknowledger } from './acknowledger.ts';
import { Deadlines } from './deadlines.ts';
import { Endings } from './endings.ts';
import { runFlow } from './job-flow.ts';
import { NodeClient } from './node-client.ts';
import { NodeQueue, type Place } from './node-queue.ts';
import { OnlineWaiters } from './online-waiters.ts';
import { RunCarrier } from './run-carrier.ts';
import { agentLimit, groupByJob, hasFlow, notBegun, succeeded } from './run-facts.ts';
import { RunFeed } from './run-feed.ts';
import { buildRunSpec } from './run-spec.ts';
import { forwardStdin } from './stdin-forward.ts';
import { storeJob } from './store-job.ts';

/** How a run that is being submitted waits for its turn. */
interface Submission {
  /** Resolves with whether the write that stores the run has held. */
  stored: Promise<boolean>;
  /** Called when its turn has come: at once, when there is room. */
  onTurn?(): void;
}

export interface BusOptions {
  store: Store;
  sessions: Sessions;
  clock: Clock;
  logger: Logger;
  random: () => number;
  concurrencyPerNode: number;
  maxRunsInFlight: number;
  /** Output of one run that is kept, bytes. */
  maxOutputBytes: number;
  signTicket(run: { id: string; nodeId: string }, body: Buffer): string;
}

export class Bus {
  readonly feed = new RunFeed();
  readonly #options: BusOptions;
  readonly #queues = new Map<string, NodeQueue>();
  readonly #carriers = new Map<string, RunCarrier>();
  readonly #endings: Endings;
  readonly #deadlines: Deadlines;
  readonly #acknowledger: Acknowledger;
  /** Runs that are being carried, of all nodes together. */
  readonly #inFlight: PQueue;
  readonly #carried = new Map<string, Promise<void>>();
  readonly #waiters = new OnlineWaiters();
  /** Of runs in a node's queue: called when one ends before its turn. */
  readonly #endedEarly = new Map<string, () => void>();
  /** Streams of stdin that are being sent, or wait for their run. */
  readonly #stdins = new Map<Readable, Promise<void>>();
  readonly #shutdown = new AbortController();

  constructor(options: BusOptions) {
    this.#options = options;
    const { clock, logger, store, maxRunsInFlight } = options;
    this.#inFlight = new PQueue({ concurrency: maxRunsInFlight });
    this.#endings = new Endings({ store, clock, settle: (run) => this.#settle(run) });
    this.#deadlines = new Deadlines({ clock, expire: (id) => this.#endings.expire(id), onFailure: this.#logFailure });
    this.#acknowledger = new Acknowledger({
      sync: () => store.sync(),
      clientOf: (nodeId) => this.#clientOfNode(nodeId),
      clock,
      logger,
    });
  }

  /** Takes up every run without an end, in the order in which it was accepted. */
  start(): void {
    const { store, sessions } = this.#options;
    sessions.subscribe({
      online: (session) => this.#nodeOnline(session),
      offline: (session) => this.#queues.get(session.nodeId)?.pause(),
    });
    const living = new Set(store.nodes.all().flatMap(({ id, revokedAt }) => (revokedAt === null ? [id] : [])));
    const stored = store.runs.open();
    for (const nodeId of new Set(stored.map((run) => run.nodeId))) {
      if (!living.has(nodeId)) this.abandon(nodeId, 'node_gone: it was removed or revoked').catch(this.#logFailure);
    }
    const open = stored.filter(({ nodeId }) => living.has(nodeId));
    const jobs = new Map([...new Set(open.map(({ jobId }) => jobId))].map((id) => [id, store.jobs.byId(id)]));
    const inFlow = ({ jobId }: RunRecord): boolean => hasFlow(jobs.get(jobId));
    // What a node may already have goes first, so that its place among the node's concurrent runs is not taken.
    const begun = open.filter((run) => run.handedOverAt !== null && !inFlow(run));
    const others = open.filter((run) => run.handedOverAt === null || inFlow(run));
    const flows = groupByJob(open.filter(inFlow));
    for (const run of [...begun, ...others]) {
      const job = jobs.get(run.jobId);
      if (job === undefined) continue;
      this.#deadlines.arm(run);
      if (!hasFlow(job)) this.#release(job, [run]);
      else if (flows.has(job.id)) this.#release(job, flows.get(job.id) ?? []);
      flows.delete(job.id);
    }
  }

  /**
   * Stores a job with one run for each of `nodes`; resolves once it is durable. Runs of nodes that are offline now, and may
   * not wait, end at once. The same idempotency key of the same submitter gives the job of the first time.
   */
  async submit(
    request: SubmitJobRequest,
    nodes: readonly NodeRecord[],
    target: string,
    submitter: string,
  ): Promise<{ job: JobRecord; runs: RunRecord[] }> {
    const { store } = this.#options;
    const stored = Promise.withResolvers<boolean>();
    try {
      const accepted = await store.write(() => {
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
      const carrier = this.#carriers.get(run.id);
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
  async forwardStdin(run: RunRecord, stream: Readable): Promise<void> {
    const forwarded = forwardStdin(run, stream, {
      feed: this.feed,
      current: () => this.#options.store.runs.byId(run.id) ?? run,
      client: () => this.#clientOfNode(run.nodeId),
      cancel: (reason) => this.cancel([run], reason),
    });
    this.#stdins.set(stream, forwarded);
    await forwarded.finally(() => this.#stdins.delete(stream));
  }

  /** Begins nothing more and lets go of what runs on nodes: it is carried on by the next process. */
  async close(): Promise<void> {
    this.#shutdown.abort();
    this.#deadlines.close();
    this.#acknowledger.close();
    for (const queue of this.#queues.values()) queue.pause();
    this.#inFlight.pause();
    // Whose senders are cut off with us: their runs must not wait for the rest.
    for (const stream of this.#stdins.keys()) stream.destroy();
    await Promise.allSettled(this.#stdins.values());
    await Promise.all([...this.#carriers.keys()].map((id) => this.#carried.get(id)));
  }

  #release(job: JobRecord, runs: RunRecord[], stored?: Promise<boolean>): void {
    if (runs.length === 0) return;
    const { flow } = job.options;
    if (flow === undefined || !hasFlow(job)) {
      for (const run of runs) this.#enqueue(job, run).catch(this.#logFailure);
      return;
    }
    const all = this.#options.store.runs.ofJob(job.id);
    runFlow(runs, {
      flow,
      totalRuns: all.length,
      failuresBefore: all.filter((run) => isTerminal(run.state) && !succeeded(run)).length,
      release: (run) => this.#enqueue(job, run, stored && { stored }),
      drop: (run) => this.#endings.drop(run.id),
      signal: this.#shutdown.signal,
    }).catch(this.#logFailure);
  }

  /** Resolves with whether the run succeeded, once it has ended or the gateway shuts down. */
  async #enqueue(job: JobRecord, run: RunRecord, submission?: Submission): Promise<boolean> {
    const { store } = this.#options;
    // What is just being stored cannot have changed since.
    const present = submission?.onTurn === undefined ? store.runs.byId(run.id) : run;
    if (present !== undefined && !isTerminal(present.state)) {
      const early = Promise.withResolvers<void>();
      this.#endedEarly.set(run.id, early.resolve);
      void submission?.stored.then((held) => held || early.resolve());
      const turn = this.#queueOf(run.nodeId).add(this.#placeOf(job, run), () =>
        this.#inFlight.add(() => this.#carry(job, run.id, submission)),
      );
      // The queue of a node that is away stands still: nobody else's turn may wait for a run that has ended in it.
      await Promise.race([turn, early.promise]);
      this.#endedEarly.delete(run.id);
    }
    this.#deadlines.disarm(run.id);
    const ended = store.runs.byId(run.id);
    return ended !== undefined && succeeded(ended);
  }

  async #carry(job: JobRecord, id: string, submission?: Submission): Promise<void> {
    const { store, logger } = this.#options;
    submission?.onTurn?.();
    if (submission !== undefined && !(await submission.stored)) return;
    const run = store.runs.byId(id);
    if (run === undefined || isTerminal(run.state) || this.#shutdown.signal.aborted) return;
    const carrier = new RunCarrier(run, this.#shutdown.signal, submission !== undefined, {
      ...this.#options,
      whenOnline: (nodeId, signal) => this.#whenOnline(nodeId, signal),
      clientOf: (session) => this.#clientOf(session),
      specOf: (current) => buildRunSpec(job, current),
      acknowledge: (ended) => this.#acknowledger.add(ended),
      changed: (changed) => this.feed.changed(changed),
    });
    this.#carriers.set(id, carrier);
    const carried = carrier.carry().catch((error: unknown) => {
      logger.error({ err: error, run: id }, 'carrying a run failed');
    });
    this.#carried.set(id, carried);
    await carried;
    this.#carriers.delete(id);
    this.#carried.delete(id);
  }

  /** A run has ended without its node: tells whoever waits for that. */
  #settle(run: RunRecord): void {
    this.#carriers.get(run.id)?.settle();
    this.#endedEarly.get(run.id)?.();
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

  #placeOf({ options: { lane, priority, agent: name } }: JobRecord, { nodeId, handedOverAt }: RunRecord): Place {
    const place = { lane, priority, begun: handedOverAt !== null };
    if (name === undefined) return place;
    const most = (): number => agentLimit(this.#options.store.nodes.byId(nodeId)?.facts, name);
    return { ...place, agent: { name, most } };
  }

  #whenOnline(nodeId: string, signal: AbortSignal): Promise<Session | undefined> {
    const session = this.#options.sessions.online(nodeId);
    if (session !== undefined || signal.aborted) return Promise.resolve(session);
    return this.#waiters.next(nodeId, signal);
  }

  #nodeOnline(session: Session): void {
    this.#waiters.wake(session);
    const queue = this.#queues.get(session.nodeId);
    const facts = queue && this.#options.store.nodes.byId(session.nodeId)?.facts;
    queue?.limitAgents((agent) => agentLimit(facts, agent));
    queue?.resume();
    this.#acknowledgeStored(session).catch((error: unknown) => {
      this.#options.logger.info({ err: error, node: session.nodeName }, 'could not acknowledge stored runs');
    });
  }

  /** Lets the node drop logs whose acknowledgement was lost with a former tunnel. */
  async #acknowledgeStored(session: Session): Promise<void> {
    const client = this.#clientOf(session);
    const stored = (await client.unacknowledged()).filter((id) =>
      isTerminal(this.#options.store.runs.byId(id)?.state ?? 'unknown'),
    );
    await this.#acknowledger.acknowledge(client, stored);
  }

  #clientOfNode(nodeId: string): NodeClient | undefined {
    const session = this.#options.sessions.online(nodeId);
    return session && this.#clientOf(session);
  }

  #clientOf(session: Session): NodeClient {
    return new NodeClient({ agent: session.agent, name: session.nodeName, signTicket: this.#options.signTicket });
  }
}
