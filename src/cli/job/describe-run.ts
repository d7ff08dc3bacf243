/** The state of a run or a whole job in a few words. */
import type { JobView, RunView } from '../../protocol/job-messages.ts';
import { RUN_STATES } from '../../protocol/run-state.ts';
import { describeFailure } from '../output/summary.ts';

/** `exited 0`, `running`, `killed by SIGKILL`. */
export function describeRun(run: RunView): string {
  if (run.state === 'exited' && run.exitCode !== null) return `exited ${run.exitCode}`;
  if (run.state === 'queued' || run.state === 'delivered' || run.state === 'running') return run.state;
  return describeFailure(run);
}

/** That of its only run, or counts: `38 exited, 2 running`. */
export function describeJob(job: JobView): string {
  const [only, second] = job.runs;
  if (only !== undefined && second === undefined) return describeRun(only);
  const counts = RUN_STATES.filter((state) => job.counts[state]).map((state) => {
    return `${job.counts[state]} ${state.replaceAll('_', ' ')}`;
  });
  return counts.join(', ') || 'no runs';
}
