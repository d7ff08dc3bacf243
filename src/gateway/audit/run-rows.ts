/** What the audit log says of jobs: all that was asked, word for word, but of the environment the names only. */

import type { UnchainedRow } from '../../domain/audit.ts';
import { foldNodeNames } from '../../domain/node-set.ts';
import type { SubmitJobRequest } from '../../protocol/job-messages.ts';
import type { RunRecord } from '../bus/runs-table.ts';
import type { NodeRecord } from '../nodes/nodes-table.ts';
import { type ActDetails, GATEWAY_ACTOR } from './act.ts';

/** Of a job that was accepted. The command may contain secrets: it is recorded all the same, because it is what happened. */
export function jobDetails(
  id: string,
  request: SubmitJobRequest,
  nodes: readonly Pick<NodeRecord, 'name'>[],
  target: string,
): ActDetails {
  const { kind, command, agent, cwd, env, user, timeoutMs, stdin, expiresMs, lane, flow, idempotencyKey } = request;
  // Members that are undefined are not in the row.
  return {
    job: id,
    kind,
    agent,
    command,
    target,
    nodes: foldNodeNames(nodes.map(({ name }) => name)),
    runs: nodes.length,
    cwd,
    user,
    env: env === undefined ? undefined : Object.keys(env),
    stdin,
    timeoutMs,
    expiresMs,
    lane,
    flow,
    idempotencyKey,
  };
}

/** A row of its own for the end of each run: an acceptance says what was allowed to happen, this says what became of it. */
export function runEndRow(run: RunRecord): Omit<UnchainedRow, 'at'> {
  const { jobId, id, nodeName, nodeId, state, exitCode, signal, reason } = run;
  return {
    actor: GATEWAY_ACTOR,
    action: 'run.end',
    outcome: 'ok',
    details: { job: jobId, run: id, node: nodeName, nodeId, state, exitCode, signal, reason },
  };
}
