/** Releases the runs of one job to their nodes: all at once, a few at a time, or in growing batches; stops after too many errors. */
import PQueue from 'p-queue';
import type { Flow } from '../../protocol/job-messages.ts';

export interface FlowRun {
  id: string;
}

export interface JobFlowOptions<R extends FlowRun> {
  flow: Flow;
  /** Runs of the whole job, of which `maxErrors` may be a percentage. */
  totalRuns: number;
  /** Failures that a former process of the gateway has counted already. */
  failuresBefore: number;
  /** Puts the run into its node's queue; resolves with whether it succeeded, once it has ended. */
  release(run: R): Promise<boolean>;
  /** Cancels a run that was not released. */
  drop(run: R): Promise<void>;
}

/** Releases `runs` in order; resolves when all have ended or were dropped. */
export async function runFlow<R extends FlowRun>(runs: readonly R[], options: JobFlowOptions<R>): Promise<void> {
  const { flow } = options;
  const limit = maxFailures(flow.maxErrors, options.totalRuns);
  let failures = options.failuresBefore;
  const queue = new PQueue({ concurrency: flow.fanout ?? Number.POSITIVE_INFINITY });
  const carry = async (run: R): Promise<void> => {
    if (failures > limit) return await options.drop(run);
    if (!(await options.release(run))) failures += 1;
  };
  for (const batch of flow.ramp ? growingBatches(runs) : [runs]) {
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
