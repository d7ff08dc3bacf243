/** Reads the stored output of a job: what there is so far, or up to its end. */
import { followJob } from '../../client/follow-job.ts';
import type { GatewayClient } from '../../client/gateway-client.ts';
import { isTerminal } from '../../domain/states.ts';
import { decodeData } from '../../protocol/frames.ts';
import type { JobView, RunView } from '../../protocol/job-messages.ts';
import type { CliContext } from '../context/command.ts';
import type { JobOutput } from '../output/job-output.ts';

/** An offset after the end of every log: skips the run's output. */
const NO_OUTPUT = Number.MAX_SAFE_INTEGER;

interface ReadJobOptions {
  client: GatewayClient;
  job: JobView;
  /** Only events of these. */
  runs: readonly RunView[];
  /** Log offset to start at. */
  from?: number;
  /** Stay until all runs have ended, rather than only until what is stored now has arrived. */
  follow: boolean;
  /** Each gets every event. */
  outputs: readonly JobOutput[];
}

/** Resolves with the runs that have ended. */
export async function readJob(context: CliContext, options: ReadJobOptions): Promise<RunView[]> {
  const { client, job, runs, follow, from = 0 } = options;
  const wanted = new Map(runs.map((run) => [run.index, run]));
  const missing = new Map(
    runs.map((run) => [run.index, follow || isTerminal(run.state) ? Infinity : run.stdoutBytes + run.stderrBytes]),
  );
  const isDone = (): boolean => [...missing.values()].every((bytes) => bytes <= 0);
  // Bytes can only be counted from the start, so a snapshot of a running run starts there.
  const startOf = (run: RunView): number => (follow || isTerminal(run.state) ? from : 0);
  const ended: RunView[] = [];
  if (isDone()) return ended;
  const offsets = Object.fromEntries(
    job.runs.map((run) => [run.index, wanted.has(run.index) ? startOf(run) : NO_OUTPUT]),
  );
  const events = followJob(
    client,
    { job: job.job, from: offsets },
    { clock: context.clock, random: context.random, signal: context.out.gone },
  );
  for await (const event of events) {
    if (event.type === 'job' || event.type === 'done' || !wanted.has(event.index)) continue;
    if (event.type === 'end') {
      const { type: _type, next: _next, ...run } = event;
      ended.push(run);
      missing.set(event.index, 0);
    } else if (event.type === 'stdout' || event.type === 'stderr') {
      missing.set(event.index, (missing.get(event.index) ?? 0) - decodeData(event).length);
    }
    if (!('next' in event) || event.next > from || event.type === 'end') {
      for (const output of options.outputs) output.handle(event);
    }
    await Promise.all([context.out.ready(), context.err.ready()]);
    if (isDone()) break;
  }
  return ended;
}
