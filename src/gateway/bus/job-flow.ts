/** Releases the runs of one job to their nodes: all at once, a few at a time, or in growing batches; stops after too many errors. */
import type { Flow } from '../../protocol/job-messages.ts';
import { Places } from './places.ts';

export interface FlowRun {
  id: string;
  /** Not null for a run that its node may have had from a former process of the gateway: it has begun. */
  handedOverAt: number | null;
}

export interface JobFlowOptions<R extends FlowRun> {
  flow: Flow;
  /** Runs of the whole job, of which `maxErrors` may be a percentage. */
  totalRuns: number;
  /** Failures that a former process of the gateway has counted already. */
  failuresBefore: number;
  /** Resolves once the run's node is online, or the run has ended: what waits for a node takes no place from others. */
  ready?(run: R): Promise<void>;
  /**
   * Puts the run into its node's queue; resolves with whether it succeeded, once it has ended or the gateway shuts down. Undefined when
   * its node went away before it began: then it is in no queue.
   */
  release(run: R): Promise<boolean | undefined>;
  /** Cancels a run if it has not begun. */
  drop(run: R): Promise<void>;
  /** The gateway shuts down: what ends from now on has not failed. */
  signal: AbortSignal;
}

/** Releases `runs` in order; resolves when all have ended or were dropped, or soon after a shutdown. */
export async function runFlow<R extends FlowRun>(runs: readonly R[], options: JobFlowOptions<R>): Promise<void> {
  const { flow, signal, ready } = options;
  const limit = maxFailures(flow.maxErrors, options.totalRuns);
  let failures = options.failuresBefore;
  const isBegun = ({ handedOverAt }: R): boolean => handedOverAt !== null;
  const ramp = flow.ramp ? new Ramp(runs.filter(isBegun).length) : undefined;
  const places = new Places(flow.fanout ?? Number.POSITIVE_INFINITY);
  /** Whether the run is done with. */
  const attempt = async (run: R): Promise<boolean> => {
    if (failures > limit && !isBegun(run)) {
      await options.drop(run);
      return true;
    }
    const succeeded = await options.release(run);
    if (succeeded === undefined) return false;
    if (succeeded || signal.aborted) return true;
    failures += 1;
    // Those that were released, but still wait for their turn or their node.
    if (failures === limit + 1) await Promise.all(runs.map((other) => options.drop(other)));
    return true;
  };
  const lead = async (run: R): Promise<void> => {
    for (let done = false; !done && !signal.aborted; ) {
      if (!isBegun(run)) await ready?.(run);
      await ramp?.enter(signal);
      const giveBack = await places.take(signal);
      try {
        if (giveBack !== undefined) done = await attempt(run);
      } finally {
        giveBack?.();
        ramp?.leave(done);
      }
    }
  };
  const begun = runs.filter(isBegun);
  await Promise.all([...begun, ...runs.filter((run) => !isBegun(run))].map(lead));
}

/** Lets runs through in batches of 1, 2, 4, …, each once the one before has ended as a whole. Absent nodes are in no batch. */
class Ramp {
  #size: number;
  #nextSize: number;
  #entered = 0;
  #running = 0;
  readonly #waiting = new Set<() => void>();

  /** `begun` runs come first, as a batch of their own. */
  constructor(begun: number) {
    this.#size = Math.max(1, begun);
    this.#nextSize = begun === 0 ? 2 : 1;
  }

  async enter(signal: AbortSignal): Promise<void> {
    if (this.#entered < this.#size || signal.aborted) return this.#take();
    await new Promise<void>((resolve) => {
      const go = (): void => {
        this.#waiting.delete(go);
        signal.removeEventListener('abort', go);
        this.#take();
        resolve();
      };
      this.#waiting.add(go);
      signal.addEventListener('abort', go, { once: true });
    });
  }

  /** `counts` unless its node went away before it began: then its batch has room for another. */
  leave(counts: boolean): void {
    this.#running -= 1;
    if (!counts) this.#entered -= 1;
    if (this.#running === 0 && this.#entered > 0) {
      this.#size = this.#nextSize;
      this.#nextSize *= 2;
      this.#entered = 0;
    }
    for (const go of this.#waiting) {
      if (this.#entered >= this.#size) return;
      go();
    }
  }

  #take(): void {
    this.#entered += 1;
    this.#running += 1;
  }
}

/** Failures that are still tolerated: `10`, or `5%` of the job's runs; without a limit, all. */
export function maxFailures(text: string | undefined, totalRuns: number): number {
  if (text === undefined) return Number.POSITIVE_INFINITY;
  return text.endsWith('%') ? Math.floor((Number(text.slice(0, -1)) / 100) * totalRuns) : Number(text);
}
