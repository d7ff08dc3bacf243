/** Releases the runs of one job to their nodes: all at once, a few at a time, or in growing batches; stops after too many errors. */
import PQueue from 'p-queue';
import type { Flow } from '../../protocol/job-messages.ts';

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
  /** Puts the run into its node's queue; resolves with whether it succeeded, once it has ended or the gateway shuts down. */
  release(run: R): Promise<boolean>;
  /** Cancels a run if it has not begun. */
  drop(run: R): Promise<void>;
  /** The gateway shuts down: what ends from now on has not failed. */
  signal: AbortSignal;
}

/** Releases `runs` in order; resolves when all have ended or were dropped, or soon after a shutdown. */
export async function runFlow<R extends FlowRun>(runs: readonly R[], options: JobFlowOptions<R>): Promise<void> {
  const { flow, signal } = options;
  const limit = maxFailures(flow.maxErrors, options.totalRuns);
  let failures = options.failuresBefore;
  const queue = new PQueue({ concurrency: flow.fanout ?? Number.POSITIVE_INFINITY });
  const carry = async (run: R): Promise<void> => {
    if (signal.aborted) return;
    if (failures > limit && run.handedOverAt === null) return await options.drop(run);
    const succeeded = await options.release(run);
    if (succeeded || signal.aborted) return;
    failures += 1;
    // Those that were released, but still wait for their turn or their node.
    if (failures === limit + 1) await Promise.all(runs.map((other) => options.drop(other)));
  };
  const begun = runs.filter(({ handedOverAt }) => handedOverAt !== null);
  const waiting = runs.filter(({ handedOverAt }) => handedOverAt === null);
  for (const batch of flow.ramp ? [begun, ...growingBatches(waiting)] : [[...begun, ...waiting]]) {
    await queue.addAll(batch.map((run) => () => carry(run)));
  }
}

/** Batches of 1, 2, 4, … */
export function growingBatches<T>(items: readonly T[]): T[][] {
  const batches: T[][] = [];
  let size = 1;
  for (let start = 0; start < items.length; start += batches.at(-1)?.length ?? 0) {
    batches.push(items.slice(start, start + size));
    size *= 2;
  }
  return batches;
}

/** Failures that are still tolerated: `10`, or `5%` of the job's runs; without a limit, all. */
export function maxFailures(text: string | undefined, totalRuns: number): number {
  if (text === undefined) return Number.POSITIVE_INFINITY;
  return text.endsWith('%') ? Math.floor((Number(text.slice(0, -1)) / 100) * totalRuns) : Number(text);
}
