/** What of a request is stored with its job, so that the specs of its runs are the same whenever they are made. */
import type { SubmitJobRequest } from '../../protocol/job-messages.ts';
import type { JobOptions } from './jobs-table.ts';

/** `maxOutputBytes` is the gateway's limit now. */
export function jobOptions(request: SubmitJobRequest, maxOutputBytes: number): JobOptions {
  const { cwd, env, user, timeoutMs, stdin, lane, priority, flow, agent } = request;
  return { cwd, env, user, timeoutMs, stdin, lane, priority, flow, agent, maxOutputBytes };
}
