/** The command bus: accepts jobs durably, lets each node's queue carry them, and picks up where a former process stopped. */
import { randomBytes } from 'node:crypto';
import type { Readable } from 'node:stream';
import type { SubmitJobRequest } from '../../protocol/job-messages.ts';
import { isTerminal } from '../../protocol/run-state.ts';
import { randomBase32 } from '../../shared/base32.ts';
import type { Clock, Timer } from '../../shared/clock.ts';
import { FleetError } from '../../shared/errors.ts';
import type { Logger } from '../../shared/logger.ts';
import type { Session, Sessions } from '../sessions.ts';
import type { JobRecord } from '../store/jobs-table.ts';
import type { NodeRecord } from '../store/nodes-table.ts';
import type { RunRecord } from '../store/runs-table.ts';
import type { Store } from '../store/store.ts';
import { runFlow } from './job-flow.ts';
import { NodeClient } from './node-client.ts';
import { NodeQueue } from './node-queue.ts';
import { RunCarrier } from './run-carrier.ts';
import { RunFeed } from './run-feed.ts';
import { buildRunSpec } from './run-spec.ts';
import { forwardStdin } from './stdin-forward.ts';

/** How long a run that was accepted while its node was online may wait for its turn, ms: a day. */
const DEFAULT_QUEUE_LIFETIME_MS = 24 * 3_600_000;

export interface BusOptions {
  store: Store;
  sessions: Sessions;
  clock: Clock;
  logger: Logger;
  random: () => number;
  concurrencyPerNode: number;
  signTicket(run: { id: string; nodeId: string }, body: Buffer): Promise<string>;
}

export class Bus {
  readonly feed = new RunFeed();
  readonly #options: BusOptions;
  readonly #queues = new Map<string, NodeQueue>();
  readonly #carriers = new Map<string, RunCarrier>();
  readonly #expiries = new Map<string, Timer>();
  readonly #waiters = new Map<string, Set<(session: Session) => void>>();
  readonly #shutdown = new AbortController();
  readonly #flows = new Set<Promise<void>>();

  constructor(options: BusOptions) {
    this.#options = options;
  }

  /** Takes up every run without an end, in the order in which it was accepted. */
  start(): void {
    const { store, sessions } = this.#options;
    sessions.subscribe({
      online: (session) => this.#nodeOnline(session),
      offline: (session) => this.#queues.get(session.nodeId)?.pause(),
    });
    const open = store.runs.open();
    // What a node may already have goes first, so that its place among the node's concurrent runs is not taken.
    const begun = open.filter((run) => run.handedOverAt !== null);
    const queued = open.filter((run) => run.handedOverAt === null);
    for (const [jobId, runs] of groupByJob([...begun, ...queued])) {
      const job = store.jobs.byId(jobId);
      if (job !== undefined) this.#release(job, runs);
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
  ): Promise<JobRecord> {
    const { store, clock } = this.#options;
    const now = clock.now();
    const { job, runs } = await store.write(() => {
      const key = request.idempotencyKey ?? null;
      const present = key === null ? undefined : store.jobs.byIdempotencyKey(submitter, key);
      if (present !== undefined) return { job: assertSameJob(present, request), runs: [] };
      const id = randomBase32(12, randomBytes);
      const { cwd, env, user, timeoutMs, stdin, lane, flow } = request;
      store.jobs.insert({
        id,
        kind: request.kind,
        command: request.command,
        options: { cwd, env, user, timeoutMs, stdin, lane, flow },
        target,
        createdAt: now,
        createdBy: submitter,
        idempotencyKey: key,
      });
      nodes.forEach((node, index) => {
        const expiresAt = now + (request.expiresMs ?? DEFAULT_QUEUE_LIFETIME_MS);
        store.runs.insert({
          id: `${id}.${index}`,
          jobId: id,
          index,
          nodeId: node.id,
          nodeName: node.name,
          queuedAt: now,
          expiresAt,
        });
        if (request.expiresMs === undefined && this.#options.sessions.online(node.id) === undefined) {
          store.runs.move(`${id}.${index}`, 'expired', { reason: 'node_offline', endedAt: now });
        }
      });
      const stored = store.jobs.byId(id);
      if (stored === undefined) throw new FleetError('internal', 'a job vanished while it was stored');
      return { job: stored, runs: store.runs.ofJob(id) };
    });
    this.#release(
      job,
      runs.filter((run) => !isTerminal(run.state)),
    );
    return job;
  }

  /** Asks for the end of the given runs. Those that no node has seen end at once; the others when their node confirms it. */
  async cancel(runs: readonly RunRecord[], reason: string): Promise<void> {
    const { store, clock, logger } = this.#options;
    await store.write(() => {
      for (const run of runs) store.runs.askCancel(run.seq, reason);
    });
    for (const { id } of runs) {
      const run = store.runs.byId(id);
      if (run === undefined || isTerminal(run.state)) continue;
      const carrier = this.#carriers.get(id);
      if (carrier !== undefined) {
        carrier
          .cancel()
          .catch((error: unknown) =>
            logger.info({ err: error, run: id }, 'cancel will be repeated when the node is back'),
          );
      } else if (run.handedOverAt === null) {
        this.feed.changed(await store.write(() => store.runs.move(id, 'canceled', { reason, endedAt: clock.now() })));
      }
    }
  }

  /** Sends `stream` to the command's stdin, once it has been handed over. A stream that breaks cancels the run. */
  async forwardStdin(run: RunRecord, stream: Readable): Promise<void> {
    await forwardStdin(run, stream, {
      feed: this.feed,
      current: () => this.#options.store.runs.byId(run.id) ?? run,
      client: () => {
        const session = this.#options.sessions.online(run.nodeId);
        return session === undefined ? undefined : this.#clientOf(session);
      },
      cancel: (reason) => this.cancel([run], reason),
    });
  }

  /** Begins nothing more and lets go of what runs on nodes: it is carried on by the next process. */
  async close(): Promise<void> {
    this.#shutdown.abort();
    for (const timer of this.#expiries.values()) timer.cancel();
    this.#expiries.clear();
    for (const queue of this.#queues.values()) queue.pause();
    await Promise.all([...this.#carriers.keys()].map((id) => this.#carried.get(id)));
  }

  readonly #carried = new Map<string, Promise<void>>();

  #release(job: JobRecord, runs: RunRecord[]): void {
    if (runs.length === 0) return;
    for (const run of runs) this.#armExpiry(run);
    const { flow } = job.options;
    if (flow === undefined || Object.keys(flow).length === 0) {
      for (const run of runs) void this.#enqueue(job, run);
      return;
    }
    const all = this.#options.store.runs.ofJob(job.id);
    const running = runFlow(runs, {
      flow,
      totalRuns: all.length,
      failuresBefore: all.filter((run) => isTerminal(run.state) && !succeeded(run)).length,
      release: (run) => this.#enqueue(job, run),
      drop: (run) => this.cancel([run], 'max_errors'),
    });
    this.#flows.add(running);
    void running.finally(() => this.#flows.delete(running));
  }

  /** Resolves with whether the run succeeded, once it has ended. */
  async #enqueue(job: JobRecord, run: RunRecord): Promise<boolean> {
    const { store, logger } = this.#options;
    await this.#queueOf(run.nodeId).add(job.options.lane, async () => {
      const present = store.runs.byId(run.id);
      if (present === undefined || isTerminal(present.state) || this.#shutdown.signal.aborted) return;
      const carrier = new RunCarrier(present, this.#shutdown.signal, {
        ...this.#options,
        whenOnline: (nodeId, signal) => this.#whenOnline(nodeId, signal),
        clientOf: (session) => this.#clientOf(session),
        specOf: (current) => buildRunSpec(job, current),
        changed: (changed) => this.feed.changed(changed),
      });
      this.#carriers.set(run.id, carrier);
      const carried = carrier.carry().catch((error: unknown) => {
        logger.error({ err: error, run: run.id }, 'carrying a run failed');
      });
      this.#carried.set(run.id, carried);
      await carried;
      this.#carriers.delete(run.id);
      this.#carried.delete(run.id);
    });
    this.#expiries.get(run.id)?.cancel();
    this.#expiries.delete(run.id);
    const ended = store.runs.byId(run.id);
    return ended !== undefined && succeeded(ended);
  }

  #queueOf(nodeId: string): NodeQueue {
    let queue = this.#queues.get(nodeId);
    if (queue === undefined) {
      queue = new NodeQueue(this.#options.concurrencyPerNode);
      if (this.#options.sessions.online(nodeId) !== undefined) queue.resume();
      this.#queues.set(nodeId, queue);
    }
    return queue;
  }

  #armExpiry(run: RunRecord): void {
    if (run.expiresAt === null || run.handedOverAt !== null) return;
    const { clock, store } = this.#options;
    // setTimeout fires at once for more than 2^31-1 ms (nodejs.org/api/timers.html); nobody waits for 24 days with one timer.
    const delayMs = Math.min(Math.max(0, run.expiresAt - clock.now()), 2 ** 31 - 1);
    const timer = clock.after(
      delayMs,
      () => {
        this.#expiries.delete(run.id);
        void this.#expire(run.id).catch((error: unknown) =>
          this.#options.logger.error({ err: error, run: run.id }, 'could not expire a run'),
        );
        const present = store.runs.byId(run.id);
        if (present?.state === 'queued' && (present.expiresAt ?? 0) > clock.now()) this.#armExpiry(present);
      },
      { unref: true },
    );
    this.#expiries.set(run.id, timer);
  }

  async #expire(id: string): Promise<void> {
    const { store, clock } = this.#options;
    const expired = await store.write(() => {
      const run = store.runs.byId(id);
      const due = run?.state === 'queued' && run.handedOverAt === null && (run.expiresAt ?? 0) <= clock.now();
      return due
        ? store.runs.move(id, 'expired', { reason: 'expired: not delivered in time', endedAt: clock.now() })
        : undefined;
    });
    if (expired !== undefined) this.feed.changed(expired);
  }

  #whenOnline(nodeId: string, signal: AbortSignal): Promise<Session | undefined> {
    const session = this.#options.sessions.online(nodeId);
    if (session !== undefined || signal.aborted) return Promise.resolve(session);
    return new Promise((resolve) => {
      const waiters = this.#waiters.get(nodeId) ?? new Set();
      this.#waiters.set(nodeId, waiters);
      const done = (found?: Session): void => {
        waiters.delete(done);
        signal.removeEventListener('abort', aborted);
        resolve(found);
      };
      const aborted = (): void => done();
      waiters.add(done);
      signal.addEventListener('abort', aborted, { once: true });
    });
  }

  #nodeOnline(session: Session): void {
    for (const wake of [...(this.#waiters.get(session.nodeId) ?? [])]) wake(session);
    this.#queues.get(session.nodeId)?.resume();
    this.#acknowledgeStored(session).catch((error: unknown) => {
      this.#options.logger.info({ err: error, node: session.nodeName }, 'could not acknowledge stored runs');
    });
  }

  /** Lets the node drop logs whose acknowledgement was lost with a former tunnel. */
  async #acknowledgeStored(session: Session): Promise<void> {
    const client = this.#clientOf(session);
    for (const id of await client.unacknowledged()) {
      const run = this.#options.store.runs.byId(id);
      if (run === undefined || isTerminal(run.state)) await client.acknowledge(id);
    }
  }

  #clientOf(session: Session): NodeClient {
    return new NodeClient({ agent: session.agent, signTicket: this.#options.signTicket });
  }
}

function succeeded(run: RunRecord): boolean {
  return run.state === 'exited' && run.exitCode === 0;
}

function assertSameJob(present: JobRecord, request: SubmitJobRequest): JobRecord {
  if (present.command === request.command) return present;
  throw new FleetError('conflict', `the idempotency key was used for another command, in job ${present.id}`, {
    hint: 'Take a fresh key for a fresh command.',
  });
}

function groupByJob(runs: readonly RunRecord[]): Map<string, RunRecord[]> {
  const groups = new Map<string, RunRecord[]>();
  for (const run of runs) groups.set(run.jobId, [...(groups.get(run.jobId) ?? []), run]);
  return groups;
}
