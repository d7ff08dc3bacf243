/** Turns the end of a run into the outcome that the gateway stores. */
import type { RunOutcome } from '../../protocol/run-spec.ts';
import { type ProcessFacts, printableName } from '../process/process-table.ts';
import type { CommandExit, OutputCounters } from '../shim/messages.ts';

/** Processes named in a reason. */
const MOST_NAMED = 5;
const OOM_KILLED = 'oom_killed: out of memory, the kernel ended a process of the command';
const OUTPUT_GAP = 'output_gap: some output may be missing where the shim was killed';

export type RunEnding =
  /** The command came to its own end. */
  | { kind: 'exit'; exit: CommandExit }
  /** The runner ended it; all is confirmed dead except `left`. `exit` is set if the command had exited and something held its output. */
  | {
      kind: 'killed';
      cause: KillCause;
      left: readonly Pick<ProcessFacts, 'pid' | 'name'>[];
      exit: CommandExit | null;
    }
  /** It never ran; `reason` is a stable word, a colon, and prose. */
  | { kind: 'failed_to_start'; reason: string }
  /** It may have run; its end was not observed. */
  | { kind: 'unknown'; reason: string };

interface OutcomeFacts {
  /** Gateway's time, ms; null if it never started. */
  startedAt: number | null;
  endedAt: number;
  timeoutMs: number | undefined;
  counters: OutputCounters;
  /** Whether output may be missing because a process of the node was killed. */
  outputInDoubt: boolean;
  /** Why output could not be stored. */
  spoolError: string | null;
}

export function composeOutcome(ending: RunEnding, facts: OutcomeFacts): RunOutcome {
  const { startedAt, endedAt, counters, outputInDoubt, spoolError } = facts;
  const { reason, ...verdict } = verdictOf(ending, facts);
  const reasons = [
    reason,
    outputInDoubt && OUTPUT_GAP,
    spoolError !== null && `spool_full: ${counters.droppedBytes} bytes of output are lost: ${spoolError}`,
  ];
  return { ...verdict, reason: reasons.filter(Boolean).join('; ') || null, startedAt, endedAt, ...counters };
}

type Verdict = Pick<RunOutcome, 'state' | 'exitCode' | 'signal' | 'reason'>;

const NO_EXIT = { exitCode: null, signal: null };

function verdictOf(ending: RunEnding, facts: OutcomeFacts): Verdict {
  switch (ending.kind) {
    case 'exit':
      return exitVerdict(ending.exit);
    case 'killed': {
      const verdict = ending.exit === null ? killVerdict(ending.cause, facts) : heldVerdict(ending.cause, ending.exit);
      return { ...verdict, reason: [verdict.reason, ...describeLeft(ending.left)].join('; ') };
    }
    case 'failed_to_start':
    case 'unknown':
      return { state: ending.kind, ...NO_EXIT, reason: ending.reason };
  }
}

function describeLeft(left: readonly Pick<ProcessFacts, 'pid' | 'name'>[]): string[] {
  if (left.length === 0) return [];
  const named = left.slice(0, MOST_NAMED).map((facts) => `pid ${facts.pid} ${printableName(facts)}`);
  const more = left.length - named.length;
  return [`left_behind: ${[...named, ...(more > 0 ? [`and ${more} more`] : [])].join(', ')}`];
}

function exitVerdict({ exitCode, signal, oomKilled }: CommandExit): Verdict {
  const reason = oomKilled ? OOM_KILLED : null;
  if (signal !== null) return { state: 'signaled', exitCode: null, signal, reason };
  if (exitCode !== null) return { state: 'exited', exitCode, signal: null, reason };
  return {
    state: 'unknown',
    ...NO_EXIT,
    reason: 'not_observed: the system reported neither an exit code nor a signal',
  };
}

/** The command had exited by itself, and only what held its output was ended. Canceling such a run still counts as canceling it. */
function heldVerdict(cause: KillCause, exit: CommandExit): Verdict {
  if (cause === 'canceled') {
    const reason = `canceled: on request; the command had ended (${exit.signal ?? exit.exitCode}), and its output was held`;
    return { state: 'canceled', ...NO_EXIT, reason };
  }
  const what = cause === 'timeout' ? 'at the timeout' : 'with its stdin';
  const { reason, ...verdict } = exitVerdict(exit);
  const held = `output_held: what held its output after its exit was ended ${what}`;
  return { ...verdict, reason: reason === null ? held : `${reason}; ${held}` };
}

function killVerdict(cause: KillCause, { startedAt, timeoutMs }: OutcomeFacts): Verdict {
  if (cause === 'timeout') {
    return { state: 'timed_out', ...NO_EXIT, reason: `timeout: not done after ${timeoutMs} ms` };
  }
  const canceled = startedAt === null ? 'canceled: before it started' : 'canceled: on request';
  const stdinLost = 'stdin_lost: the sender of stdin broke off before its end';
  return { state: 'canceled', ...NO_EXIT, reason: cause === 'stdin_lost' ? stdinLost : canceled };
}

/** Why the runner itself ended a command. */
export type KillCause = 'canceled' | 'timeout' | 'stdin_lost';
