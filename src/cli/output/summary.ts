/** The last words of a broadcast: who failed and how, under folded names, and how many in all. */
import { compareNatural } from '../../protocol/natural-order.ts';
import { foldNodeNames } from '../../protocol/node-set.ts';
import type { RunState } from '../../protocol/run-state.ts';
import { stripControl } from '../../shared/strip-control.ts';
import { type EndedRun, isNotStarted } from './run-exit-code.ts';

export interface SummarizedRun extends EndedRun {
  node: string;
}

/** `counts` of `fleet broadcast --json`. Every run is in exactly one. */
export interface OutcomeCounts {
  exited0: number;
  exitedNonZero: number;
  signaled: number;
  timedOut: number;
  canceled: number;
  failedToStart: number;
  rejected: number;
  expired: number;
  unknown: number;
  /** Still queued, delivered or running. */
  unfinished: number;
}

export function countOutcomes(runs: Iterable<EndedRun>): OutcomeCounts {
  const counts: OutcomeCounts = {
    exited0: 0,
    exitedNonZero: 0,
    signaled: 0,
    timedOut: 0,
    canceled: 0,
    failedToStart: 0,
    rejected: 0,
    expired: 0,
    unknown: 0,
    unfinished: 0,
  };
  for (const run of runs) counts[countedAs(run)] += 1;
  return counts;
}

/**
 * Lines for stderr, without newlines: one for each way to fail, the most frequent first, and then the total, with the offline nodes
 * that were left out.
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

/** One failed run in words, for a person: `exited with code 3`, `timed out`, `rejected by the node (not_allowed)`. */
export function describeFailure(run: Omit<SummarizedRun, 'node'>): string {
  if (run.state === 'exited' && run.exitCode !== null) return `exited with code ${run.exitCode}${addition(run)}`;
  const words = describeBriefly(run);
  if (run.state === 'timed_out') return `${words}${addition(run)}`;
  // `canceled (canceled)` would say it twice.
  if (run.reason === null || run.reason === run.state) return words;
  const detail = run.reason.startsWith(`${run.state}: `) ? run.reason.slice(run.state.length + 2) : run.reason;
  return `${words} (${stripControl(detail)})`;
}

/** What a reason says besides the state or the exit code, in parentheses. */
export function addition({ reason }: Pick<SummarizedRun, 'reason'>): string {
  const more = /\b(?:left_behind|oom_killed): [^;]*/.exec(reason ?? '')?.[0];
  return more === undefined ? '' : ` (${stripControl(more)})`;
}

const STATE_WORDS: Readonly<Record<RunState, string>> = {
  queued: 'still queued',
  delivered: 'still waiting to start',
  running: 'still running',
  exited: 'exited without a code',
  signaled: 'killed by a signal',
  timed_out: 'timed out',
  canceled: 'canceled',
  failed_to_start: 'failed to start',
  rejected: 'rejected by the node',
  expired: 'never delivered',
  unknown: 'outcome unknown',
};

function describeBriefly(run: EndedRun): string {
  if (run.state === 'exited' && run.exitCode !== null) return `exited with ${run.exitCode}`;
  if (run.state === 'signaled' && run.signal !== null) return `killed by ${stripControl(run.signal)}`;
  return STATE_WORDS[run.state];
}

function succeeded(run: EndedRun): boolean {
  return run.state === 'exited' && run.exitCode === 0;
}

const COUNTED_AS = {
  signaled: 'signaled',
  timed_out: 'timedOut',
  canceled: 'canceled',
  failed_to_start: 'failedToStart',
  rejected: 'rejected',
  expired: 'expired',
  unknown: 'unknown',
} as const;

function countedAs(run: EndedRun): keyof OutcomeCounts {
  if (run.state === 'exited') return run.exitCode === 0 ? 'exited0' : 'exitedNonZero';
  if (run.state === 'queued' || run.state === 'delivered' || run.state === 'running') return 'unfinished';
  return COUNTED_AS[run.state];
}

/** The largest groups first, then by name of what they share. */
function groupBy<T>(items: readonly T[], keyOf: (item: T) => string): [string, T[]][] {
  const groups = new Map<string, T[]>();
  for (const item of items) {
    const key = keyOf(item);
    const group = groups.get(key);
    if (group === undefined) groups.set(key, [item]);
    else group.push(item);
  }
  return [...groups].sort(([a, left], [b, right]) => right.length - left.length || compareNatural(a, b));
}
