/** The spec that is handed to a node, made of what the store holds, so that a repeated hand-over is byte for byte the same. */
import { DEFAULT_MAX_OUTPUT_BYTES } from '../../domain/limits.ts';
import type { RunSpec } from '../../protocol/run-spec.ts';
import type { JobRecord } from './jobs-table.ts';
import type { RunRecord } from './runs-table.ts';

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
