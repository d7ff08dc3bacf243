/** The state of a run or a whole job in a few words. */
import type { JobView, RunView } from '../../protocol/job-messages.ts';
import type { RunExited } from '../../protocol/run-spec.ts';
import { RUN_STATES, type RunState } from '../../protocol/run-state.ts';
import { stripControl } from '../../shared/strip-control.ts';
import { describeFailure } from '../output/summary.ts';

/** `exited 0`, `running`, `killed by SIGKILL`, `exited with 0; sleep (4711) still holds its output`. */
export function describeRun(run: RunView): string {
  if (run.exited !== undefined) return describeHeld(run.exited);
  if (run.state === 'exited' && run.exitCode !== null) return `exited ${run.exitCode}`;
  if (run.state === 'queued' || run.state === 'delivered' || run.state === 'running') return run.state;
  return describeFailure(run);
}

/** A command that is over, while its output is not. */
export function describeHeld({ exitCode, signal, holders }: RunExited): string {
  const names = holders.map(({ pid, name }) => `${stripControl(name)} (${pid})`);
  const end = exitCode === null ? `was killed by ${stripControl(signal ?? 'a signal')}` : `exited with ${exitCode}`;
  return `${end}; ${names.join(', ') || 'something'} still ${names.length > 1 ? 'hold' : 'holds'} its output`;
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
