/** Everything that is being carried: who carries what, the places for that, and the wait for absent nodes. */
import type { Link } from '../nodes/links.ts';
import type { Sessions } from '../nodes/sessions.ts';
import { Places } from './job-flow.ts';
import type { JobRecord } from './jobs-table.ts';
import { LiveOutput } from './live-output.ts';
import { RunCarrier, type RunCarrierOptions } from './run-carrier.ts';
import type { RunFeed } from './run-facts.ts';
import { buildRunSpec, isOver, takesPlace } from './run-facts.ts';

/** How a run that is being submitted waits for its turn. */
export interface Submission {
  /** Resolves with whether the write that stores the run has held. */
  stored: Promise<boolean>;
  /** Called when its turn has come: at once, when there is room. */
  onTurn?(): void;
}

interface Turn {
  /** Aborts when the run has ended without its node, or the gateway shuts down. */
  signal: AbortSignal;
  /** Give the run up, as it is, when its node goes away before it has begun. */
  unlessAway: boolean;
  submission: Submission | undefined;
  /** Called when the command is over, though its output may go on. */
  onExited(): void;
}

interface CarriersOptions
  extends Omit<RunCarrierOptions, 'whenOnline' | 'isOnline' | 'takePlace' | 'specOf' | 'whole' | 'onExited'> {
  sessions: Sessions;
  feed: RunFeed;
  maxRunsInFlight: number;
}

export class Carriers {
  readonly live: LiveOutput;
  readonly #options: CarriersOptions;
  readonly #places: Places;
  readonly #carriers = new Map<string, RunCarrier>();
  readonly #carried = new Set<Promise<void>>();
  readonly #waiters = new OnlineWaiters();

  constructor(options: CarriersOptions) {
    this.#options = options;
    this.#places = new Places(options.maxRunsInFlight);
    this.live = new LiveOutput({ ...options, whenOnline: (nodeId, until) => this.whenOnline(nodeId, until) });
  }

  get(runId: string): RunCarrier | undefined {
    return this.#carriers.get(runId);
  }

  /** Takes a place, and carries the run to its end. Never rejects. */
  async carry(job: JobRecord, id: string, { signal, unlessAway, submission, onExited }: Turn): Promise<void> {
    const { store, sessions, logger } = this.#options;
    const present = submission === undefined ? store.runs.byId(id) : undefined;
    const isFree = present !== undefined && !takesPlace(present);
    const place = isFree ? undefined : await this.#places.take(signal, submission?.onTurn);
    const held = submission === undefined || (await submission.stored);
    const run = store.runs.byId(id);
    if (!held || run === undefined || isOver(run) || signal.aborted) return place?.();
    const carrier = new RunCarrier(run, signal, submission !== undefined, {
      ...this.#options,
      whenOnline: (nodeId, until) => this.whenOnline(nodeId, until),
      isOnline: (nodeId) => sessions.online(nodeId) !== undefined,
      takePlace: (until) => this.#places.take(until),
      specOf: (current) => buildRunSpec(job, current),
      whole: job.options.whole ?? false,
      onExited,
    });
    this.#carriers.set(id, carrier);
    const carried = carrier.carry(place, unlessAway).catch((error: unknown) => {
      logger.error({ err: error, run: id }, 'carrying a run failed');
    });
    this.#carried.add(carried);
    await carried;
    this.#carriers.delete(id);
    this.#carried.delete(carried);
  }

  whenOnline(nodeId: string, signal: AbortSignal): Promise<Link | undefined> {
    const session = this.#options.sessions.online(nodeId);
    if (session !== undefined || signal.aborted) return Promise.resolve(session);
    return this.#waiters.next(nodeId, signal);
  }

  nodeOnline(session: Link): void {
    this.#waiters.wake(session);
  }

  /** Resolves when all that is carried now has been let go. */
  async ended(): Promise<void> {
    await Promise.all(this.#carried);
  }
}

/** Runs that have begun and wait for their node to come back. */
class OnlineWaiters {
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
