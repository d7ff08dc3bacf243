/** What the bus wants to know of runs and jobs, in one word each. */

import { isTerminal } from '../../domain/run-state.ts';
import type { NodeFacts } from '../../protocol/node-messages.ts';
import type { JobRecord } from './jobs-table.ts';
import type { RunRecord } from './runs-table.ts';

/** Reason of a run whose deadline passed in the queue. */
export const EXPIRED = 'expired: not delivered in time';

/** Whether it ended as its submitter hoped. */
export function succeeded(run: RunRecord): boolean {
  return run.state === 'exited' && run.exitCode === 0;
}

/** Whether the run has ended and nothing more is expected of its node. */
export function isOver({ state, unconfirmed }: RunRecord): boolean {
  return isTerminal(state) && unconfirmed === 0;
}

/** Whether its command is, or will be, at work: held output, and an end that has to be confirmed, take no place from others. */
export function takesPlace({ state, exited }: RunRecord): boolean {
  return !isTerminal(state) && exited === null;
}

/** Whether no node can have the run. */
export function notBegun(run: RunRecord): boolean {
  return run.state === 'queued' && run.handedOverAt === null;
}

/** How many prompts of the agent the node works on at once; any number when it has said nothing of that. */
export function agentLimit(facts: NodeFacts | null | undefined, agent: string): number {
  const limits = facts?.agentLimits ?? {};
  // The name is what somebody typed: `constructor` is one, too.
  return (Object.hasOwn(limits, agent) ? limits[agent] : undefined) ?? Number.POSITIVE_INFINITY;
}

/** Whether the job's runs are released a few at a time. */
export function hasFlow(job: JobRecord | undefined): boolean {
  return Object.keys(job?.options.flow ?? {}).length > 0;
}

/** In the order of the first run of each job. */
export function groupByJob(runs: readonly RunRecord[]): Map<string, RunRecord[]> {
  const groups = new Map<string, RunRecord[]>();
  for (const run of runs) groups.set(run.jobId, [...(groups.get(run.jobId) ?? []), run]);
  return groups;
}
