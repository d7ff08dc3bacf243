/** The command bus: accepts jobs durably, queues their runs per node, and resumes where an earlier process stopped. */
import type { Readable } from 'node:stream';
import { isTerminal } from '../../domain/states.ts';
import type { SubmitJobRequest } from '../../protocol/job-messages.ts';
import type { Clock } from '../../shared/clock.ts';
import type { Logger } from '../../shared/logger.ts';
import type { Link, Links } from '../nodes/links.ts';
import type { NodeRecord } from '../nodes/nodes-table.ts';
import { Acknowledger } from './acknowledger.ts';
import { type BusContext, RunFeed } from './bus-context.ts';
import { EXPIRED } from './hand-over.ts';
import { runFlow, Slots } from './job-flow.ts';
import type { JobRecord } from './jobs-table.ts';
import { LiveOutput } from './live-output.ts';
import { NodeClients } from './node-client.ts';
import { NodeQueue } from './node-queue.ts';
import { OpenRun, type OpenRunOwner } from './open-run.ts';
import { hasFlow, isUnbegun, succeeded } from './run-facts.ts';
import type { BusStore, RunRecord } from './runs-table.ts';
import { forwardStdin, type StdinOutcome } from './stdin-forward.ts';
import { storeJob } from './store-job.ts';

interface BusOptions {
  store: BusStore;
  links: Links;
  clock: Clock;
  logger: Logger;
  random: () => number;
  concurrencyPerNode: number;
  maxRunsInFlight: number;
  /** Output kept per run, bytes. */
  maxOutputBytes: number;
  /** Whether agents of a node are used only after an admin has approved them. */
  approveCapabilities?: boolean;
  signTicket(run: { id: string; nodeId: string }, body: Buffer): string;
}

export class Bus {
  readonly feed = new RunFeed();
  readonly live: LiveOutput;
  readonly #options: BusOptions;
  readonly #context: BusContext;
  readonly #owner: OpenRunOwner;
  readonly #acknowledger: Acknowledger;
  readonly #queues = new Map<string, NodeQueue>();
  /** Runs whose end is not confirmed yet, by id. */
  readonly #open = new Map<string, OpenRun>();
  /** Streams of stdin that are being sent, or wait for their run. */
  readonly #stdins = new Map<Readable, Promise<StdinOutcome>>();
  readonly #shutdown = new AbortController();

  constructor(options: BusOptions) {
    this.#options = options;
    const { links, maxRunsInFlight, signTicket } = options;
    const nodes = new NodeClients(links, signTicket);
    this.#acknowledger = new Acknowledger({ ...options, nodes });
    this.#context = {
      ...options,
      nodes,
      slots: new Slots(maxRunsInFlight),
      feed: this.feed,
      acknowledger: this.#acknowledger,
      shutdown: this.#shutdown.signal,
    };
    this.live = new LiveOutput(this.#context);
    this.#owner = {
      context: this.#context,
      queueOf: (nodeId) => this.#queueOf(nodeId),
      expire: (id) => this.#endUnbegun(id, 'expired', EXPIRED),
      giveUp: (id, reason) => this.#giveUp(id, reason),
      forget: ({ id, nodeId }) => {
        this.#open.delete(id);
        this.#dropIdleQueue(nodeId);
      },
      logFailure: this.#logFailure,
    };
  }

  /** Resumes every run without a confirmed end, in the order of acceptance. */
  start(): void {
    const { store, links } = this.#options;
    links.onChange({ online: (link) => this.#nodeOnline(link), offline: ({ nodeId }) => this.#nodeOffline(nodeId) });
    const stored = [...store.runs.unconfirmed(), ...store.runs.open()];
    const living = new Set(store.nodes.all().flatMap(({ id, revokedAt }) => (revokedAt === null ? [id] : [])));
    for (const nodeId of new Set(stored.map((run) => run.nodeId))) {
      if (!living.has(nodeId)) this.abandon(nodeId, 'node_gone: it was removed or revoked').catch(this.#logFailure);
    }
    const jobs = new Map<string, JobRecord | undefined>();
    const begun: OpenRun[] = [];
    const others: OpenRun[] = [];
    const flows = new Map<JobRecord, OpenRun[]>();
    for (const run of stored.filter(({ nodeId }) => living.has(nodeId))) {
      if (!jobs.has(run.jobId)) jobs.set(run.jobId, store.jobs.byId(run.jobId));
      const job = jobs.get(run.jobId);
      if (job === undefined) continue;
      const open = this.#openRun(job, run, false);
      open.armExpiry(run);
      open.armAnswer();
      if (hasFlow(job) && !isTerminal(run.state)) flows.set(job, [...(flows.get(job) ?? []), open]);
      else (open.begun ? begun : others).push(open);
    }
    // First what a node may have already, so that its place among the node's concurrent runs is not taken.
    for (const open of [...begun, ...others]) open.enqueue();
    for (const [job, runs] of flows) this.#startFlow(job, runs);
  }

  /**
   * Stores a job with one run for each of `nodes`; resolves once it is durable. Runs that may not wait for their offline node end at once.
   * Repeating an idempotency key of the same submitter returns the first job. `whole`: see live-output.ts.
   */
  async submit(
    request: SubmitJobRequest & { whole?: boolean },
    nodes: readonly NodeRecord[],
    target: string,
    submitter: string,
  ): Promise<{ job: JobRecord; runs: RunRecord[] }> {
    const { store, clock, links } = this.#options;
    const opened: { open: OpenRun; run: RunRecord }[] = [];
    /** Within the transaction, so that queues keep the order of acceptance, and a run whose turn has come needs no second one. */
    const enter = (job: JobRecord, run: RunRecord): RunRecord => {
      if (isTerminal(run.state)) return run;
      const entry = { open: this.#openRun(job, run, true), run };
      opened.push(entry);
      if (hasFlow(job) || !entry.open.enqueue()) return run;
      const link = links.online(run.nodeId);
      if (link !== undefined) entry.run = store.runs.noteHandOver(run, clock.now(), link.journal ?? '');
      return entry.run;
    };
    try {
      const accepted = await store.write(() => {
        const { isNew, job, runs } = storeJob(request, nodes, target, submitter, this.#options);
        return { job, runs: isNew ? runs.map((run) => enter(job, run)) : runs };
      });
      for (const { open, run } of opened) open.stored(run);
      const { job } = accepted;
      if (hasFlow(job))
        this.#startFlow(
          job,
          opened.map(({ open }) => open),
        );
      return accepted;
    } catch (error) {
      for (const { open } of opened) void open.close();
      throw error;
    }
  }

  /** Cancels the given runs. Those that no node can have end at once, the others when their node confirms it. */
  async cancel(runs: readonly RunRecord[], reason: string): Promise<void> {
    const { store, clock, logger } = this.#options;
    const canceled: RunRecord[] = [];
    const begun = await store.write(() =>
      runs.flatMap(({ id, seq }) => {
        store.runs.askCancel(seq, reason);
        const run = store.runs.byId(id);
        if (run === undefined || !isUnbegun(run)) return run ?? [];
        canceled.push(store.runs.end(id, 'canceled', run.cancelReason, clock.now()));
        return [];
      }),
    );
    for (const run of canceled) this.#ended(run);
    for (const { id, nodeId } of begun) {
      this.#open.get(id)?.armAnswer();
      this.#context.nodes
        .online(nodeId)
        ?.cancel(id)
        .catch((error: unknown) =>
          logger.info({ err: error, run: id }, 'a cancel will be repeated when the node is back'),
        );
    }
  }

  /** The node will never come back: cancels the runs that it never got; the outcome of the others is unknown. */
  async abandon(nodeId: string, reason: string): Promise<void> {
    const { store, clock } = this.#options;
    const ended = await store.write(() =>
      [...store.runs.unconfirmed(nodeId), ...store.runs.open(nodeId)].map((run) =>
        store.runs.end(run.id, isUnbegun(run) ? 'canceled' : 'unknown', reason, clock.now()),
      ),
    );
    for (const run of ended) this.#ended(run);
  }

  /** Sends `stream` to the command's stdin once the run is delivered. A stream that breaks cancels the run. */
  async forwardStdin(run: RunRecord, stream: Readable): Promise<StdinOutcome> {
    const forwarded = forwardStdin(run, stream, {
      ...this.#context,
      cancel: (reason) => this.cancel([run], reason),
    });
    this.#stdins.set(stream, forwarded);
    return await forwarded.finally(() => this.#stdins.delete(stream));
  }

  /** What is held in memory for runs that have not ended. */
  get counts(): { queues: number; runs: number } {
    return { queues: this.#queues.size, runs: this.#open.size };
  }

  /** Starts nothing more and stops following runs: the next process resumes them. */
  async close(): Promise<void> {
    this.#shutdown.abort();
    this.#acknowledger.close();
    for (const queue of this.#queues.values()) queue.pause();
    const dispatched = [...this.#open.values()].map((open) => open.close());
    // Their senders are cut off too, and their runs must not wait for the rest.
    for (const stream of this.#stdins.keys()) stream.destroy();
    await Promise.allSettled(this.#stdins.values());
    await Promise.all(dispatched);
  }

  #openRun(job: JobRecord, run: RunRecord, isNew: boolean): OpenRun {
    const open = new OpenRun(this.#owner, job, run, isNew);
    this.#open.set(run.id, open);
    return open;
  }

  /** Releases the runs of a job with a flow a few at a time. */
  #startFlow(job: JobRecord, runs: readonly OpenRun[]): void {
    if (runs.length === 0) return;
    const all = this.#options.store.runs.ofJob(job.id);
    runFlow(runs, {
      flow: job.options.flow ?? {},
      totalRuns: all.length,
      failuresBefore: all.filter((run) => isTerminal(run.state) && !succeeded(run)).length,
      drop: ({ id }) => this.#endUnbegun(id, 'canceled', 'max_errors'),
      signal: this.#shutdown.signal,
    }).catch(this.#logFailure);
  }

  /** Ends the run unless its node may have it; decided in the transaction, so that a hand-over comes either before or after it. */
  async #endUnbegun(id: string, state: 'canceled' | 'expired', reason: string): Promise<void> {
    const { store, clock } = this.#options;
    const ended = await store.write(() => {
      const run = store.runs.byId(id);
      return run !== undefined && isUnbegun(run) ? store.runs.end(id, state, reason, clock.now()) : undefined;
    });
    if (ended !== undefined) this.#ended(ended);
  }

  async #giveUp(id: string, reason: string): Promise<void> {
    const { store, clock, logger } = this.#options;
    const run = await store.write(() => {
      const present = store.runs.byId(id);
      if (present === undefined || isTerminal(present.state) || isUnbegun(present)) return undefined;
      return store.runs.end(id, 'unknown', reason, clock.now(), { unconfirmed: 1 });
    });
    if (run === undefined) return;
    this.#open.get(id)?.givenUp();
    this.feed.changed(run);
    logger.warn({ run: id, node: run.nodeName, reason }, 'gave up on a run');
  }

  /** The run has ended without its node. */
  #ended(run: RunRecord): void {
    void this.#open.get(run.id)?.close();
    this.feed.changed(run);
  }

  readonly #logFailure = (error: unknown): void => {
    this.#options.logger.error({ err: error }, 'the bus could not continue with a job');
  };

  #queueOf(nodeId: string): NodeQueue {
    let queue = this.#queues.get(nodeId);
    if (queue === undefined) {
      const { concurrencyPerNode, links } = this.#options;
      queue = new NodeQueue(concurrencyPerNode, (agent) => this.#agentLimit(nodeId, agent));
      if (links.online(nodeId) !== undefined) queue.resume();
      this.#queues.set(nodeId, queue);
    }
    return queue;
  }

  /** How many prompts of the agent the node works on at once; unlimited if it did not say. */
  #agentLimit(nodeId: string, agent: string): number {
    const limits = this.#options.store.nodes.byId(nodeId)?.facts?.agentLimits ?? {};
    // The name is user input, such as `constructor`.
    return (Object.hasOwn(limits, agent) ? limits[agent] : undefined) ?? Number.POSITIVE_INFINITY;
  }

  /** A node that is away may never come back. */
  #dropIdleQueue(nodeId: string): void {
    const isAway = this.#options.links.online(nodeId) === undefined;
    if (isAway && this.#queues.get(nodeId)?.isIdle) this.#queues.delete(nodeId);
  }

  #nodeOffline(nodeId: string): void {
    this.#queues.get(nodeId)?.pause();
    this.#dropIdleQueue(nodeId);
  }

  #nodeOnline(link: Link): void {
    const { nodes } = this.#context;
    nodes.wake(link);
    this.#queues.get(link.nodeId)?.resume();
    this.#acknowledger.catchUp(nodes.of(link));
  }
}
