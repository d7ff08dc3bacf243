/**
 * What the node's process and its shim tell each other: one JSON object a line, over a Unix socket that only this account can open.
 * Both come from the same installation, or from two neighbouring versions of it: fields may be added, and none may change its meaning.
 */
import type { StartedAgent } from '../../domain/agent/agent-spec.ts';

/** What is known once a command is gone: one of the two is set. */
export interface CommandExit {
  /** 0–255. */
  exitCode: number | null;
  /** `SIGKILL`, … */
  signal: string | null;
  /** Set if the kernel ended it for want of memory. */
  oomKilled?: true;
}

/** Names of the FIFOs of a run, in the spool's folder `pipes`. */
export interface RunPipes {
  stdout: string;
  stderr: string;
  stdin: string | null;
}

export interface OutputCounters {
  /** All that was read from the command, kept or not. */
  stdoutBytes: number;
  stderrBytes: number;
  /** Of both, what was not kept. */
  droppedBytes: number;
}

/** What a former shim left of a run's output. */
export interface OutputPast {
  /** Length of the log, bytes. */
  logBytes: number;
  /** All that was read from the command, kept or not, as far as anybody knows. */
  written: StreamBytes;
  /** Output in the log. */
  kept: StreamBytes;
  /** What the log says about output that is not in it. */
  told: StreamBytes;
}

/** Exactly what is executed. */
export interface CommandLine {
  argv: readonly [string, ...string[]];
  cwd: string;
  /** The whole environment; nothing is inherited. */
  env: Record<string, string | undefined>;
  /** What the command finds on its stdin, when nobody sends that. */
  input?: string | undefined;
}

export interface Order {
  run: string;
  pipes: RunPipes;
  /** stdout and stderr together that are kept, bytes. */
  maxOutputBytes: number;
  /** For the log's first frame: gateway's time, ms, and the agent, if the run is one of an agent. */
  startedAt: number;
  agent?: StartedAgent | undefined;
}

/** Starts a command. */
export interface StartOrder extends Order {
  command: CommandLine;
  /** Somebody takes all of the output, and slows the command as a pipe does: see live-window.ts. */
  whole?: boolean | undefined;
}

/** Follows a command that a shim has started which is no more. */
export interface AdoptOrder extends Order {
  pid: number;
  identity: string | undefined;
  cgroup?: string | undefined;
  past: OutputPast;
  /** Known if the command's first process was gone before that shim was. */
  exit: CommandExit | null;
}

/** All that can be said of a command whose pipes are closed and whose log is complete but for its end frame. */
export interface CommandEnd {
  /** Null if it could not be observed, because the command was adopted or lives on. */
  exit: CommandExit | null;
  /** Whether the pipes came to their own end: nobody holds them any more. */
  drained: boolean;
  logBytes: number;
  counters: OutputCounters;
  /** Why output was lost that was within the limits. */
  error: string | null;
}

export interface StartedCommand {
  pid: number;
  /** From the process table; absent if the process was gone before anybody could look. */
  identity?: string | undefined;
  /** Folder of the control group that is the command's alone; absent where there can be none. */
  cgroup?: string | undefined;
}

/** A command as the shim knows it. */
export interface CommandState extends StartedCommand {
  run: string;
  /** Gateway's time, ms. */
  startedAt: number;
  logBytes: number;
  /** What the output takes of the spool's room, bytes. */
  spaceBytes: number;
  exit: CommandExit | null;
  end: CommandEnd | null;
}

export interface ShimState {
  protocol: number;
  /** Random; another one is another process. */
  shim: string;
  pid: number;
  commands: CommandState[];
}

/** Output as frames (base64), and the position behind it; `complete` when there will be no more; null when it is not to be had. */
export type LivePiece = { frames: string; next: number } | { complete: true } | null;

export type ShimRequest = { id: number } & (
  | { do: 'hello' }
  | { do: 'start'; order: StartOrder }
  | { do: 'adopt'; order: AdoptOrder }
  /** Reads no further, and completes the log. */
  | { do: 'finish'; run: string }
  | { do: 'close-stdin'; run: string }
  /** Answered with a {@link LivePiece} of a run whose output somebody takes whole, once there is one. */
  | { do: 'live'; run: string; from: number }
  /** Whoever takes the output is there, and may be away for so long, ms; 0: has gone for good. */
  | { do: 'attend'; run: string; forMs: number }
  /** What is known of an ended run is recorded elsewhere. */
  | { do: 'forget'; run: string }
  /** The node's process goes in order; without commands nobody needs the shim any more. */
  | { do: 'leave' }
);

/** The answer to a request. */
export type ShimReply = { re: number } & ({ value: unknown } | { failure: string });

/** What happens to a command. */
export type ShimEvent = { run: string } & (
  | { event: 'output'; logBytes: number; spaceBytes: number }
  /** Its first process is gone, but something still holds its pipes. */
  | { event: 'exit'; exit: CommandExit }
  /** So much was written so far, of which not all is on the disk. */
  | { event: 'unsafe'; counters: OutputCounters }
  | { event: 'end'; end: CommandEnd }
);

export type ShimMessage = ShimReply | ShimEvent;

export const SHIM_PROTOCOL = 1;

/** Why a command cannot be started: a stable word, a colon, and prose. */
export class StartFailure extends Error {
  override readonly name = 'StartFailure';
}

/** Amounts of output, each stream for itself. */
export interface StreamBytes {
  stdoutBytes: number;
  stderrBytes: number;
}

export function add(a: StreamBytes, b: StreamBytes): StreamBytes {
  return { stdoutBytes: a.stdoutBytes + b.stdoutBytes, stderrBytes: a.stderrBytes + b.stderrBytes };
}

export function subtract(a: StreamBytes, b: StreamBytes): StreamBytes {
  return { stdoutBytes: a.stdoutBytes - b.stdoutBytes, stderrBytes: a.stderrBytes - b.stderrBytes };
}

/** Of both streams. */
export function total({ stdoutBytes, stderrBytes }: StreamBytes): number {
  return stdoutBytes + stderrBytes;
}
