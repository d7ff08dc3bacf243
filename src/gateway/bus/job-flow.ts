/** Releases the runs of one job to their nodes: all at once, a few at a time, or in growing batches; stops after too many errors. */

import { agentCapability } from '../../domain/agent/agent-capability.ts';
import { compareNatural } from '../../domain/node-set.ts';
import type { NodeStatus } from '../../domain/states.ts';
import type { Flow } from '../../protocol/job-messages.ts';

interface FlowRun {
  id: string;
  /** Not null for a run that its node may have had from a former process of the gateway: it has begun. */
  handedOverAt: number | null;
}

interface JobFlowOptions<R extends FlowRun> {
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

/** A fixed number of places for work in progress: taken in the order of asking, and given back by whoever holds one. */
export class Places {
  #free: number;
  readonly #waiting = new Set<() => void>();

  constructor(most: number) {
    this.#free = most;
  }

  /**
   * Resolves with what gives the place back (idempotent); undefined when `signal` aborts first. `onTaken` is called with the place, within
   * this call if there is a free one.
   */
  take(signal: AbortSignal, onTaken?: () => void): Promise<(() => void) | undefined> {
    if (signal.aborted) return Promise.resolve(undefined);
    if (this.#free > 0) {
      this.#free -= 1;
      onTaken?.();
      return Promise.resolve(this.#giveBackOnce());
    }
    return new Promise((resolve) => {
      const leave = (): void => {
        this.#waiting.delete(grant);
        resolve(undefined);
      };
      const grant = (): void => {
        this.#waiting.delete(grant);
        signal.removeEventListener('abort', leave);
        onTaken?.();
        resolve(this.#giveBackOnce());
      };
      this.#waiting.add(grant);
      signal.addEventListener('abort', leave, { once: true });
    });
  }

  /** The place goes to the next that waits. */
  #giveBackOnce(): () => void {
    let held = true;
    return () => {
      if (!held) return;
      held = false;
      const [next] = this.#waiting;
      if (next === undefined) this.#free += 1;
      else next();
    };
  }
}

/** Picks, of many nodes, the one that a job for any of them goes to. */
export interface PickableNode {
  name: string;
  status: NodeStatus | 'revoked';
  capabilities: readonly string[];
  /** Runs that have not ended. */
  runsActive: number;
  /** Null when the node has not told. */
  cpuPct: number | null;
}

/** Those that are only `limited` come last; others take no work. */
const ORDER: readonly string[] = ['online', 'limited'];

/** The least busy one that is there and has the agent: by runs, then by processor, then by name. */
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
