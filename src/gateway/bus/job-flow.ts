/** Releases the runs of one job to their nodes: all at once, a few at a time, or in growing batches; stops after too many errors. */
import PQueue from 'p-queue';
import { compareNatural } from '../../domain/node-set.ts';
import type { NodeStatus } from '../../domain/states.ts';
import { agentCapability } from '../../domain/vocabulary.ts';
import type { Flow } from '../../protocol/job-messages.ts';

interface FlowRun {
  /** Not null if its node may have it from an earlier process: it has begun. */
  handedOverAt: number | null;
  /** Resolves once its node is online or it has ended: a run that waits for its node takes no place from others. */
  ready(): Promise<void>;
  /**
   * Queues it; resolves with whether it succeeded, once it has ended or the gateway shuts down. Undefined if its node went away before it
   * began: it is in no queue then.
   */
  release(): Promise<boolean | undefined>;
}

interface JobFlowOptions<R> {
  flow: Flow;
  /** Runs of the whole job, of which `maxErrors` may be a percentage. */
  totalRuns: number;
  /** Failures that an earlier process counted. */
  failuresBefore: number;
  /** Cancels a run unless it has begun. */
  drop(run: R): Promise<void>;
  /** Aborts when the gateway shuts down: what ends after that has not failed. */
  signal: AbortSignal;
}

/** Releases `runs` in order; resolves when all have ended or were dropped, or soon after `signal` aborts. */
export async function runFlow<R extends FlowRun>(runs: readonly R[], options: JobFlowOptions<R>): Promise<void> {
  const { flow, signal, drop } = options;
  const limit = maxFailures(flow.maxErrors, options.totalRuns);
  let failures = options.failuresBefore;
  const hasBegun = ({ handedOverAt }: R): boolean => handedOverAt !== null;
  const begun = runs.filter(hasBegun);
  const ramp = flow.ramp ? new Ramp(begun.length) : undefined;
  const slots = new Slots(flow.fanout ?? Number.POSITIVE_INFINITY);
  /** @returns whether the run is finished. */
  const attempt = async (run: R): Promise<boolean> => {
    if (failures > limit && !hasBegun(run)) {
      await drop(run);
      return true;
    }
    const succeeded = await run.release();
    if (succeeded === undefined) return false;
    if (succeeded || signal.aborted) return true;
    failures += 1;
    // Those too that were released, but are still waiting for their turn or their node.
    if (failures === limit + 1) await Promise.all(runs.map(drop));
    return true;
  };
  const lead = async (run: R): Promise<void> => {
    for (let done = false; !done && !signal.aborted; ) {
      if (!hasBegun(run)) await run.ready();
      await ramp?.enter(signal);
      const freeSlot = await slots.take(signal);
      try {
        if (freeSlot !== undefined) done = await attempt(run);
      } finally {
        freeSlot?.();
        ramp?.leave(done);
      }
    }
  };
  await Promise.all([...begun, ...runs.filter((run) => !hasBegun(run))].map(lead));
}

/** Lets runs through in batches of 1, 2, 4, …, each after the previous one has ended. Runs of absent nodes are in no batch. */
class Ramp {
  #size: number;
  #nextSize: number;
  #entered = 0;
  #running = 0;
  readonly #waiting = new Set<() => void>();

  /** Runs that have begun form the first batch. */
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

  /** Does not count if its node went away before it began: its batch then has room for another. */
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

/** Tolerated failures: `10`, or `5%` of the job's runs; unlimited by default. */
export function maxFailures(text: string | undefined, totalRuns: number): number {
  if (text === undefined) return Number.POSITIVE_INFINITY;
  return text.endsWith('%') ? Math.floor((Number(text.slice(0, -1)) / 100) * totalRuns) : Number(text);
}

/** A limited number of slots for work in progress, taken in order. */
export class Slots {
  readonly #queue: PQueue;

  constructor(count: number) {
    this.#queue = new PQueue({ concurrency: count });
  }

  /** Takes a free slot at once. @returns what frees it again (idempotent); undefined if none is free. */
  tryTake(): (() => void) | undefined {
    if (this.#queue.pending >= this.#queue.concurrency) return undefined;
    const held = Promise.withResolvers<void>();
    void this.#queue.add(() => held.promise);
    return held.resolve;
  }

  /** Resolves with what frees the slot again (idempotent); with undefined if `signal` aborts first. An abort later frees it too. */
  take(signal: AbortSignal): Promise<(() => void) | undefined> {
    return new Promise((resolve) => {
      const hold = (): Promise<void> => {
        const held = Promise.withResolvers<void>();
        resolve(held.resolve);
        return held.promise;
      };
      this.#queue.add(hold, { signal }).catch(() => resolve(undefined));
    });
  }
}

export interface PickableNode {
  name: string;
  status: NodeStatus | 'revoked';
  capabilities: readonly string[];
  /** Runs that have not ended. */
  runsActive: number;
  /** Null if unknown. */
  cpuPct: number | null;
}

/** Statuses that take work, in order of preference. */
const ORDER: readonly string[] = ['online', 'limited'];

/** The node for a job that any of them may do: the least busy one with the agent, by runs, then CPU, then name. */
export function pickNode<N extends PickableNode>(nodes: readonly N[], agent: string): N | undefined {
  const capability = agentCapability(agent);
  const able = nodes.filter(({ status, capabilities }) => ORDER.includes(status) && capabilities.includes(capability));
  return able.sort(compareLoad)[0];
}

function compareLoad(a: PickableNode, b: PickableNode): number {
  return (
    ORDER.indexOf(a.status) - ORDER.indexOf(b.status) ||
    a.runsActive - b.runsActive ||
    (a.cpuPct ?? 100) - (b.cpuPct ?? 100) ||
    compareNatural(a.name, b.name)
  );
}
