/** Exit codes of errors, of runs and of signals. CLI.md: "Exit codes". */
import type { RunState } from '../../domain/states.ts';
import type { ErrorCode } from '../../shared/errors.ts';

export const EXIT_OK = 0;
export const EXIT_USAGE = 2;
/** Refused permanently; 77 is EX_NOPERM of sysexits.h. */
const EXIT_REFUSED = 77;
/** Configuration wrong; 78 is EX_CONFIG of sysexits.h. */
const EXIT_CONFIG = 78;
/** stdout lost its reader: 128 + SIGPIPE, as with every program that does not handle it. */
export const EXIT_STDOUT_CLOSED = 141;
/** Ended by a signal: 128 and its number, signal(7). */
export const EXIT_OF_SIGNAL = { SIGHUP: 129, SIGINT: 130, SIGTERM: 143 } as const;

const EXIT_CODES: Partial<Record<ErrorCode, number>> = {
  usage: EXIT_USAGE,
  bad_selector: EXIT_USAGE,
  bad_request: EXIT_USAGE,
  forbidden: EXIT_REFUSED,
  policy_denied: EXIT_REFUSED,
  key_revoked: EXIT_REFUSED,
  invite_invalid: EXIT_REFUSED,
  not_paired: EXIT_REFUSED,
  pairing_rejected: EXIT_REFUSED,
  config_invalid: EXIT_CONFIG,
  home_insecure: EXIT_CONFIG,
  home_foreign: EXIT_CONFIG,
  database_missing: EXIT_CONFIG,
  storage_corrupt: EXIT_CONFIG,
  host_key_changed: EXIT_CONFIG,
  gateway_not_proven: EXIT_CONFIG,
  wrong_gateway: EXIT_CONFIG,
  protocol_unsupported: EXIT_CONFIG,
  name_taken: EXIT_CONFIG,
};

/** 255 for anything temporary, or not the caller's mistake. */
export function exitCodeOfError(code: ErrorCode): number {
  return EXIT_CODES[code] ?? EXIT_FLEET_FAILED;
}

/** What the exit code depends on. */
export interface EndedRun {
  state: RunState;
  /** Null unless `exited`. */
  exitCode: number | null;
  /** `SIGKILL`, …; null unless `signaled`. */
  signal: string | null;
  /** A stable code, possibly with prose after a colon; null for none. */
  reason: string | null;
}

/** Whether it was canceled before it started, because other runs of its job had failed. */
export function isNotStarted({ state, reason }: Pick<EndedRun, 'state' | 'reason'>): boolean {
  return state === 'canceled' && reason === 'max_errors';
}

/** The fleet failed, rather than the command. */
export const EXIT_FLEET_FAILED = 255;
export const EXIT_CANCELED = 130;
const EXIT_SIGNAL_BASE = 128;

/** Signals 1 to 31 of Linux, signal(7): the node's numbers, which may differ from this machine's. */
const SIGNALS = (
  'SIGHUP SIGINT SIGQUIT SIGILL SIGTRAP SIGABRT SIGBUS SIGFPE SIGKILL SIGUSR1 SIGSEGV SIGUSR2 SIGPIPE SIGALRM SIGTERM ' +
  'SIGSTKFLT SIGCHLD SIGCONT SIGSTOP SIGTSTP SIGTTIN SIGTTOU SIGURG SIGXCPU SIGXFSZ SIGVTALRM SIGPROF SIGWINCH SIGIO SIGPWR SIGSYS'
).split(' ');

/** The other states are not the command's doing: a shell that cannot find it exits with 127 itself. */
const EXIT_OF_STATE: Partial<Record<RunState, number>> = {
  timed_out: 124,
  canceled: EXIT_CANCELED,
  rejected: 126,
};

/** Exit code of `fleet run`, 0–255. Only a run that is known to have exited with 0 gives 0. */
export function exitCodeOfRun({ state, exitCode, signal }: EndedRun): number {
  if (state === 'exited') return exitCodeOfCommand(exitCode);
  if (state === 'signaled') return exitCodeOfSignal(signal);
  return EXIT_OF_STATE[state] ?? EXIT_FLEET_FAILED;
}

/** Exit code of `fleet broadcast`: the largest of its runs, 0 without runs. Runs held back by `--max-errors` do not count. */
export function exitCodeOfBroadcast(runs: Iterable<EndedRun>): number {
  let largest = 0;
  for (const run of runs) if (!isNotStarted(run)) largest = Math.max(largest, exitCodeOfRun(run));
  return largest;
}

/** process.exit(256) would mean success: what does not fit into a byte counts as our failure. */
function exitCodeOfCommand(exitCode: number | null): number {
  if (exitCode === null || !Number.isInteger(exitCode) || exitCode < 0) return EXIT_FLEET_FAILED;
  return Math.min(exitCode, EXIT_FLEET_FAILED);
}

function exitCodeOfSignal(signal: string | null): number {
  const number = SIGNALS.indexOf(signal ?? '') + 1;
  return number === 0 ? EXIT_FLEET_FAILED : EXIT_SIGNAL_BASE + number;
}
