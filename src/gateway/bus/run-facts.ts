/** Questions about runs and jobs, and the spec that a node receives. */
import { DEFAULT_MAX_OUTPUT_BYTES } from '../../domain/limits.ts';
import { isTerminal } from '../../domain/states.ts';
import type { RunSpec } from '../../protocol/run-spec.ts';
import type { JobRecord } from './jobs-table.ts';
import type { RunRecord } from './runs-table.ts';

/** Whether the command exited with code 0. */
export function succeeded(run: RunRecord): boolean {
  return run.state === 'exited' && run.exitCode === 0;
}

/** Whether the run has ended and nothing more is expected from its node. */
export function isOver({ state, unconfirmed }: RunRecord): boolean {
  return isTerminal(state) && unconfirmed === 0;
}

/** Whether it needs a slot: not if only its output continues, or its end has yet to be confirmed. */
export function needsSlot({ state, exited }: RunRecord): boolean {
  return !isTerminal(state) && exited === null;
}

/** Whether no node can have the run. */
export function isUnbegun(run: RunRecord): boolean {
  return run.state === 'queued' && run.handedOverAt === null;
}

/** Whether the job's runs are released a few at a time. */
export function hasFlow(job: JobRecord): boolean {
  return Object.keys(job.options.flow ?? {}).length > 0;
}

/** Built from what the store holds, so that a repeated hand-over is identical byte for byte. */
export function buildRunSpec({ id, kind, command, options }: JobRecord, run: RunRecord): RunSpec {
  const { cwd, env, user, timeoutMs } = options;
  return {
    run: run.id,
    job: id,
    nodeId: run.nodeId,
    node: run.nodeName,
    ...(kind === 'shell'
      ? { kind, command, stdin: options.stdin ?? false }
      : { kind, agent: options.agent ?? '', prompt: command, stdin: false }),
    env: env ?? {},
    maxOutputBytes: options.maxOutputBytes ?? DEFAULT_MAX_OUTPUT_BYTES,
    ...(cwd === undefined ? {} : { cwd }),
    ...(user === undefined ? {} : { user }),
    ...(timeoutMs === undefined ? {} : { timeoutMs }),
  };
}
