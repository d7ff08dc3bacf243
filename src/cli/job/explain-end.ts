/** Why a run did not simply exit, for the person who waits for it. */
import type { RunView } from '../../protocol/job-messages.ts';
import { formatDuration } from '../../shared/duration.ts';
import { stripControl } from '../../shared/strip-control.ts';
import { formatBytes } from '../output/format-bytes.ts';
import { addition, describeFailure } from '../output/summary.ts';

export interface Explanation {
  message: string;
  hint: string | undefined;
}

/**
 * One explanation each for the end and for output that was not kept; none for a run that exited and surely kept all, whatever its code.
 * `gapTold`: the person knows already how much was not kept.
 */
export function explainEnd(run: RunView, timeoutMs?: number, gapTold = false): Explanation[] {
  const explanations: Explanation[] = [];
  if (run.truncated && !gapTold) {
    const written = formatBytes(run.stdoutBytes + run.stderrBytes);
    explanations.push({ message: `${run.node}: its output was truncated; it wrote ${written}`, hint: undefined });
  }
  if (run.state !== 'exited' || run.exitCode === null) explanations.push(explainState(run, timeoutMs));
  else if (run.reason !== null && !run.truncated) {
    explanations.push({ message: `${run.node}: ${stripControl(run.reason)}`, hint: undefined });
  }
  return explanations;
}

function explainState(run: RunView, timeoutMs: number | undefined): Explanation {
  if (run.state === 'timed_out' && timeoutMs !== undefined) {
    return { message: `${run.node}: timed out after ${formatDuration(timeoutMs)}${addition(run)}`, hint: undefined };
  }
  if (run.state === 'expired' && run.reason === 'node_offline') {
    return {
      message: `${run.node} is offline; the command was not delivered`,
      hint: 'To wait for the node, give a limit: --expires 1h',
    };
  }
  if (run.state === 'expired') {
    return { message: `${run.node}: the command was not delivered in time and never will be`, hint: undefined };
  }
  if (run.state === 'unknown') {
    return {
      message: `${run.node}: ${describeFailure(run)}`,
      hint: 'It may have run, wholly or in part. Look on the node before you repeat it.',
    };
  }
  return { message: `${run.node}: ${describeFailure(run)}`, hint: undefined };
}
