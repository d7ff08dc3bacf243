/** Everything that is being carried: who carries what, the places for that, and the wait for absent nodes. */
import type { Link } from '../nodes/links.ts';
import type { Sessions } from '../nodes/sessions.ts';
import type { JobRecord } from './jobs-table.ts';
import { LiveOutput } from './live-output.ts';
import { OnlineWaiters } from './online-waiters.ts';
import { Places } from './places.ts';
import { RunCarrier, type RunCarrierOptions } from './run-carrier.ts';
import { isOver, takesPlace } from './run-facts.ts';
import type { RunFeed } from './run-feed.ts';
import { buildRunSpec } from './run-spec.ts';

/** How a run that is being submitted waits for its turn. */
export interface Submission {
  /** Resolves with whether the write that stores the run has held. */
  stored: Promise<boolean>;
  /** Called when its turn has come: at once, when there is room. */
  onTurn?(): void;
}

export interface Turn {
  /** Aborts when the run has ended without its node, or the gateway shuts down. */
  signal: AbortSignal;
  /** Give the run up, as it is, when its node goes away before it has begun. */
  unlessAway: boolean;
  submission: Submission | undefined;
  /** Called when the command is over, though its output may go on. */
  onExited(): void;
}

export interface CarriersOptions
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
