/** Leads one prompt to an agent that takes it: another node, or another agent, when the one before has surely never begun. */
import type { GatewayClient } from '../../client/gateway-client.ts';
import type { RunView, SubmitJobRequest } from '../../protocol/job-messages.ts';
import { FleetError, toFleetError } from '../../shared/errors.ts';
import type { CliContext } from '../context.ts';
import { formatError } from '../print-error.ts';
import { type ConductedJob, conductJob, type JobOutput, onlyRun } from './conduct-job.ts';
import { describeRun } from './describe-run.ts';

export interface AgentRequest extends Omit<SubmitJobRequest, 'target'> {
  agent: string;
  idempotencyKey: string;
  target: { node: string } | { any: string };
}

export interface ConductAgentOptions<O extends JobOutput> {
  client: GatewayClient;
  request: AgentRequest;
  /** Tried when `request.agent` was not begun anywhere. */
  fallback: string | undefined;
  /** For one attempt, which is a job of its own. */
  createOutput(agent: string): O;
}

/** The last attempt. */
export interface ConductedAgent<O extends JobOutput> {
  job: ConductedJob;
  agent: string;
  output: O;
}

/** @throws FleetError as the first attempt did, when none was accepted by the gateway. */
export async function conductAgent<O extends JobOutput>(
  context: CliContext,
  options: ConductAgentOptions<O>,
): Promise<ConductedAgent<O>> {
  const { request, fallback } = options;
  const agents = fallback === undefined ? [request.agent] : [request.agent, fallback];
  let last: ConductedAgent<O> | undefined;
  let refusal: FleetError | undefined;
  let attempts = 0;
  /** What became of the attempt before, worth telling once there is another. */
  let before: string | undefined;
  for (const agent of agents) {
    const tried: string[] = [];
    for (;;) {
      const output = options.createOutput(agent);
      // Submitted again, each attempt is found again.
      const idempotencyKey = attempts === 0 ? request.idempotencyKey : `${request.idempotencyKey}-${attempts}`;
      const target = 'any' in request.target ? { ...request.target, exclude: tried } : request.target;
      attempts += 1;
      try {
        const job = await conductJob(context, {
          client: options.client,
          request: { ...request, agent, target, idempotencyKey },
          output: {
            handle: (event) => {
              if (before !== undefined) context.err.write(formatError({ message: before, hint: undefined }));
              before = undefined;
              output.handle(event);
            },
          },
        });
        last = { job, agent, output };
      } catch (error) {
        const failure = toFleetError(error);
        if (failure.code !== 'node_offline') throw failure;
        refusal ??= failure;
        break;
      }
      if (last.job.leave !== 'end') return last;
      const run = onlyRun(last.job);
      if (!neverBegan(run)) return last;
      tried.push(run.node);
      before = `${run.node}: ${agent} did not start: ${describeRun(run)}; trying another`;
      if (!('any' in request.target)) break;
    }
  }
  if (last !== undefined) return last;
  throw refusal ?? new FleetError('internal', 'no agent was tried');
}

/** What `unknown` or `canceled` means may have been at work. */
function neverBegan({ state }: RunView): boolean {
  return state === 'rejected' || state === 'expired' || state === 'failed_to_start';
}
