/** The state of a run or a whole job in a few words. */
import type { JobView, RunView } from '../../protocol/job-messages.ts';
import { RUN_STATES, type RunState } from '../../protocol/run-state.ts';
import { describeFailure } from '../output/summary.ts';

/** `exited 0`, `running`, `killed by SIGKILL`. */
export function describeRun(run: RunView): string {
  if (run.state === 'exited' && run.exitCode !== null) return `exited ${run.exitCode}`;
  if (run.state === 'queued' || run.state === 'delivered' || run.state === 'running') return run.state;
  return describeFailure(run);
}

/** That of its only run, or counts: `37 exited 0, 1 exited non-zero, 2 running`. */
export function describeJob(job: JobView): string {
  const [only, second] = job.runs;
  if (only !== undefined && second === undefined) return describeRun(only);
  const kinds = RUN_STATES.flatMap((state) => (state === 'exited' ? [EXITED_0, EXITED_NON_ZERO] : wordsOf(state)));
  const counts = kinds.flatMap((kind) => {
    const count = job.runs.filter((run) => kindOf(run) === kind).length;
    return count === 0 ? [] : [`${count} ${kind}`];
  });
  return counts.join(', ') || 'no runs';
}

const EXITED_0 = 'exited 0';
const EXITED_NON_ZERO = 'exited non-zero';

function kindOf({ state, exitCode }: RunView): string {
  if (state === 'exited') return exitCode === 0 ? EXITED_0 : EXITED_NON_ZERO;
  return wordsOf(state);
}

function wordsOf(state: RunState): string {
  return state.replaceAll('_', ' ');
}
