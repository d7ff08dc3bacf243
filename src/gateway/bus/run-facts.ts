/** What the bus wants to know of runs and jobs, in one word each. */

import { DEFAULT_MAX_OUTPUT_BYTES } from '../../domain/limits.ts';
import { isTerminal } from '../../domain/states.ts';
import type { SubmitJobRequest } from '../../protocol/job-messages.ts';
import type { NodeFacts } from '../../protocol/node-messages.ts';
import type { RunSpec } from '../../protocol/run-spec.ts';
import type { JobOptions, JobRecord } from './jobs-table.ts';
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

/** Wakes those who follow a run or a job: a notice that there is something new in the store, never the news itself. */
export class RunFeed {
  readonly #listeners = new Map<string, Set<(runId: string) => void>>();

  /** Calls `listener` with the id of each run of the job that has changed, until the returned function is called. */
  subscribe(jobId: string, listener: (runId: string) => void): () => void {
    const listeners = this.#listeners.get(jobId) ?? new Set();
    this.#listeners.set(jobId, listeners.add(listener));
    return () => {
      listeners.delete(listener);
      if (listeners.size === 0 && this.#listeners.get(jobId) === listeners) this.#listeners.delete(jobId);
    };
  }

  changed(run: { id: string; jobId: string }): void {
    for (const listener of this.#listeners.get(run.jobId) ?? []) listener(run.id);
  }
}

/** The spec that is handed to a node, made of what the store holds, so that a repeated hand-over is byte for byte the same. */
export function buildRunSpec(job: JobRecord, run: RunRecord): RunSpec {
  const { cwd, env, user, timeoutMs } = job.options;
  return {
    run: run.id,
    job: job.id,
    nodeId: run.nodeId,
    node: run.nodeName,
    ...work(job),
    env: env ?? {},
    maxOutputBytes: job.options.maxOutputBytes ?? DEFAULT_MAX_OUTPUT_BYTES,
    ...(cwd === undefined ? {} : { cwd }),
    ...(user === undefined ? {} : { user }),
    ...(timeoutMs === undefined ? {} : { timeoutMs }),
  };
}

function work({ kind, command, options }: JobRecord) {
  if (kind === 'shell') return { kind, command, stdin: options.stdin ?? false } as const;
  return { kind, agent: options.agent ?? '', prompt: command, stdin: false } as const;
}

/** `maxOutputBytes` is the gateway's limit now. */
export function jobOptions(request: SubmitJobRequest, maxOutputBytes: number): JobOptions {
  const { cwd, env, user, timeoutMs, stdin, lane, priority, flow, agent } = request;
  return { cwd, env, user, timeoutMs, stdin, lane, priority, flow, agent, maxOutputBytes };
}
