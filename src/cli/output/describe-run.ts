/** Runs and jobs in words: their state, why one did not simply exit, and the summary of a broadcast. */
import { compareNatural, foldNodeNames } from '../../domain/node-set.ts';
import { RUN_STATES, type RunState } from '../../domain/states.ts';
import type { JobView, RunView } from '../../protocol/job-messages.ts';
import type { RunExited } from '../../protocol/run-spec.ts';
import { formatDuration } from '../../shared/duration.ts';
import { stripControl } from '../../shared/text.ts';
import { type EndedRun, isNotStarted } from './exit-code.ts';
import { formatBytes, formatError, type Printer } from './print.ts';

export interface SummarizedRun extends EndedRun {
  node: string;
}

/** For each state, its name in `counts` of `fleet broadcast --json`, and its words; `exited` with a code has others. */
const STATES = {
  exited: ['exitedNonZero', 'exited without a code'],
  signaled: ['signaled', 'killed by a signal'],
  timed_out: ['timedOut', 'timed out'],
  canceled: ['canceled', 'canceled'],
  failed_to_start: ['failedToStart', 'failed to start'],
  rejected: ['rejected', 'rejected by the node'],
  expired: ['expired', 'never delivered'],
  unknown: ['unknown', 'outcome unknown'],
  queued: ['unfinished', 'still queued'],
  delivered: ['unfinished', 'still waiting to start'],
  running: ['unfinished', 'still running'],
} as const satisfies Readonly<Record<RunState, readonly [counted: string, words: string]>>;

type Outcome = 'exited0' | (typeof STATES)[RunState][0];

/** `counts` of `fleet broadcast --json`. Every run is counted once. */
export function countOutcomes(runs: Iterable<EndedRun>): Record<Outcome, number> {
  const outcomes: Outcome[] = ['exited0', ...Object.values(STATES).map(([counted]) => counted)];
  const counts = Object.fromEntries(outcomes.map((outcome) => [outcome, 0])) as Record<Outcome, number>;
  for (const run of runs) counts[succeeded(run) ? 'exited0' : STATES[run.state][0]] += 1;
  return counts;
}

/**
 * Lines for stderr, without newlines: one for each kind of failure, most frequent first, then the total with the offline nodes that were
 * skipped.
 */
export function summarizeRuns(runs: readonly SummarizedRun[], notTried: readonly string[] = []): string[] {
  const failed = runs.filter((run) => !succeeded(run));
  const nodes = notTried.length > 0 ? '' : runs.length === 1 ? 'node ' : 'nodes ';
  const total = `${runs.length - failed.length} of ${runs.length} ${nodes}succeeded`;
  const held = failed.filter(isNotStarted).length;
  const counts =
    held > 0
      ? [`${failed.length - held} failed`, `${held} not started`]
      : groupBy(failed, describeBriefly).map(([words, group]) => `${group.length} ${words}`);
  const absent =
    notTried.length === 0 ? '' : `; ${notTried.length} offline, not tried: ${stripControl(foldNodeNames(notTried))}`;
  return [
    ...groupBy(failed, describeFailure).map(
      ([words, group]) => `fleet: ${stripControl(foldNodeNames(group.map((run) => run.node)))}: ${words}`,
    ),
    `fleet: ${[total, ...counts].join(', ')}${absent}`,
  ];
}

/** One failed run: `exited with code 3`, `timed out`, `rejected by the node (not_allowed)`. */
export function describeFailure(run: Omit<SummarizedRun, 'node'>): string {
  if (run.state === 'exited' && run.exitCode !== null) return `exited with code ${run.exitCode}${addition(run)}`;
  const words = describeBriefly(run);
  if (run.state === 'timed_out') return `${words}${addition(run)}`;
  // Not `canceled (canceled)`.
  if (run.reason === null || run.reason === run.state) return words;
  const detail = run.reason.startsWith(`${run.state}: `) ? run.reason.slice(run.state.length + 2) : run.reason;
  return `${words} (${stripControl(detail)})`;
}

/** What a reason adds to the state or exit code, in parentheses. */
function addition({ reason }: Pick<SummarizedRun, 'reason'>): string {
  const more = /\b(?:left_behind|oom_killed): [^;]*/.exec(reason ?? '')?.[0];
  return more === undefined ? '' : ` (${stripControl(more)})`;
}

function describeBriefly(run: EndedRun): string {
  if (run.state === 'exited' && run.exitCode !== null) return `exited with ${run.exitCode}`;
  if (run.state === 'signaled' && run.signal !== null) return `killed by ${stripControl(run.signal)}`;
  return STATES[run.state][1];
}

function succeeded(run: EndedRun): boolean {
  return run.state === 'exited' && run.exitCode === 0;
}

/** Largest groups first, then by key. */
function groupBy<T>(items: readonly T[], keyOf: (item: T) => string): [string, T[]][] {
  const groups = [...Map.groupBy(items, keyOf)];
  return groups.sort(([a, left], [b, right]) => right.length - left.length || compareNatural(a, b));
}

/** `exited 0`, `running`, `killed by SIGKILL`, `exited with 0; sleep (4711) still holds its output`. */
export function describeRun(run: RunView): string {
  if (run.exited !== undefined) return describeHeld(run.exited);
  if (run.state === 'exited' && run.exitCode !== null) return `exited ${run.exitCode}`;
  if (STATES[run.state][0] === 'unfinished') return run.state;
  return describeFailure(run);
}

/** A command that has exited while its output is still open. */
export function describeHeld({ exitCode, signal, holders }: RunExited): string {
  const names = holders.map(({ pid, name }) => `${stripControl(name)} (${pid})`);
  const end = exitCode === null ? `was killed by ${stripControl(signal ?? 'a signal')}` : `exited with ${exitCode}`;
  return `${end}; ${names.join(', ') || 'something'} still ${names.length > 1 ? 'hold' : 'holds'} its output`;
}

/** The state of its only run, or counts: `37 exited 0, 1 exited non-zero, 2 running`. */
export function describeJob(job: JobView): string {
  const [only, second] = job.runs;
  if (only !== undefined && second === undefined) return describeRun(only);
  const kinds = Map.groupBy(job.runs, kindOf);
  const order = RUN_STATES.flatMap((state) => [0, 1].map((exitCode) => kindOf({ state, exitCode })));
  const counts = [...new Set(order)].flatMap((kind) => (kinds.has(kind) ? [`${kinds.get(kind)?.length} ${kind}`] : []));
  return counts.join(', ') || 'no runs';
}

function kindOf({ state, exitCode }: Pick<RunView, 'state' | 'exitCode'>): string {
  if (state === 'exited') return exitCode === 0 ? 'exited 0' : 'exited non-zero';
  return state.replaceAll('_', ' ');
}

/** Writes the explanations of {@link explainEnd}. */
export function printEnd(err: Printer['err'], ...end: Parameters<typeof explainEnd>): void {
  for (const explanation of explainEnd(...end)) err.write(formatError(explanation));
}

/** For {@link formatError}. */
interface Explanation {
  message: string;
  hint?: string | undefined;
}

/**
 * One explanation each for the end and for output that was not kept; none for a run that exited with complete output, whatever its code.
 * `isGapReported`: how much was not kept has been shown already.
 */
export function explainEnd(run: RunView, timeoutMs?: number, isGapReported = false): Explanation[] {
  const explanations: Explanation[] = [];
  if (run.truncated && !isGapReported) {
    const written = formatBytes(run.stdoutBytes + run.stderrBytes);
    explanations.push({ message: `${run.node}: its output was truncated; it wrote ${written}` });
  }
  if (run.state !== 'exited' || run.exitCode === null) explanations.push(explainState(run, timeoutMs));
  else if (run.reason !== null && !run.truncated) {
    explanations.push({ message: `${run.node}: ${stripControl(run.reason)}` });
  }
  return explanations;
}

function explainState(run: RunView, timeoutMs: number | undefined): Explanation {
  const { node, state } = run;
  if (state === 'timed_out' && timeoutMs !== undefined) {
    return { message: `${node}: timed out after ${formatDuration(timeoutMs)}${addition(run)}` };
  }
  if (state === 'expired' && run.reason === 'node_offline') {
    return { message: `${node} is offline; the command was not delivered`, hint: 'To wait for the node: --expires 1h' };
  }
  if (state === 'expired') return { message: `${node}: the command was not delivered in time and has been dropped` };
  const message = `${node}: ${describeFailure(run)}`;
  if (state !== 'unknown') return { message };
  return { message, hint: 'It may have run completely or partially. Check the node before you repeat it.' };
}
