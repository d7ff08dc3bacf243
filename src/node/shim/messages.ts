/**
 * What the node's process and its shim exchange: one JSON object per line, over a Unix socket that only this account can open. Both come
 * from the same installation or from adjacent versions: fields may be added, and none may change its meaning.
 */
import type { Socket } from 'node:net';
import { StringDecoder } from 'node:string_decoder';
import type { StartedAgent } from '../../domain/agent/agent-spec.ts';
import type { FRAME_TYPE } from '../../protocol/frames.ts';

export type OutputType = typeof FRAME_TYPE.stdout | typeof FRAME_TYPE.stderr;

export interface StreamBytes {
  stdoutBytes: number;
  stderrBytes: number;
}

/** One of the first two is set. */
export interface CommandExit {
  /** 0–255. */
  exitCode: number | null;
  /** `SIGKILL`, … */
  signal: string | null;
  /** The kernel killed it because memory ran out. */
  oomKilled?: true;
}

/** Names of a run's FIFOs in the spool's folder `pipes`. */
export interface RunPipes {
  stdout: string;
  stderr: string;
  stdin: string | null;
}

/** Everything that was read from the command, kept or not; `droppedBytes` of it were not kept. */
export interface OutputCounters extends StreamBytes {
  droppedBytes: number;
}

/** What a previous shim left of a run's output. */
export interface OutputPast {
  /** Length of the log, bytes. */
  logBytes: number;
  /** Everything known to have been read from the command, kept or not. */
  written: StreamBytes;
  /** Output in the log. */
  kept: StreamBytes;
  /** Gaps recorded in the log. */
  told: StreamBytes;
}

/** Exactly what is executed. */
export interface CommandLine {
  argv: readonly [string, ...string[]];
  cwd: string;
  /** The whole environment; nothing is inherited. */
  env: Record<string, string | undefined>;
  /** What the command finds on stdin if no client sends stdin. */
  input?: string | undefined;
}

export interface Order {
  run: string;
  pipes: RunPipes;
  /** Most output that is kept, both streams together, bytes. */
  maxOutputBytes: number;
  /** For the log's first frame: gateway's time, ms, and the agent of an agent's run. */
  startedAt: number;
  agent?: StartedAgent | undefined;
}

export interface StartOrder extends Order {
  command: CommandLine;
  /** A follower takes all of the output and slows the command as a pipe does: see live-window.ts. */
  whole?: boolean | undefined;
}

/** Follows a command started by a shim that no longer exists. */
export interface AdoptOrder extends Order {
  pid: number;
  identity: string | undefined;
  cgroup?: string | undefined;
  past: OutputPast;
  /** Known if the command's first process exited before that shim did. */
  exit: CommandExit | null;
}

/** A command whose pipes are closed and whose log is complete except for its end frame. */
export interface CommandEnd {
  /** Null if it could not be observed, because the command was adopted or is still alive. */
  exit: CommandExit | null;
  /** Whether the pipes were drained: no process holds them any more. */
  drained: boolean;
  logBytes: number;
  counters: OutputCounters;
  /** Why output within the limits was lost. */
  error: string | null;
}

export interface StartedCommand {
  pid: number;
  /** From the process table; missing if the process had already gone. */
  identity?: string | undefined;
  /** Folder of the command's own control group; missing where there can be none. */
  cgroup?: string | undefined;
}

export interface CommandState extends StartedCommand {
  run: string;
  /** Gateway's time, ms. */
  startedAt: number;
  logBytes: number;
  /** Spool space that the output occupies, bytes. */
  spaceBytes: number;
  exit: CommandExit | null;
  end: CommandEnd | null;
}

export interface ShimState {
  protocol: number;
  /** Random; identifies the process. */
  shim: string;
  pid: number;
  commands: CommandState[];
}

/** Output as frames (base64), and the position after it; `complete` when no more follows; null when it isn't available. */
export type LivePiece = { frames: string; next: number } | { complete: true } | null;

/** A request about one run; one for an unknown run does nothing. */
export type RunRequest = { run: string } /** Stops reading, and completes the log. */ & (
  | { do: 'finish' }
  | { do: 'close-stdin' }
  /** The follower that takes all output is there, and may be away for this long, ms; 0: it is gone for good. */
  | { do: 'attend'; forMs: number }
  /** Everything about an ended run is recorded elsewhere. */
  | { do: 'forget' }
);

export type ShimRequest = { id: number } & (
  | { do: 'hello' }
  | { do: 'start'; order: StartOrder }
  | { do: 'adopt'; order: AdoptOrder }
  /** Answered with a {@link LivePiece}, once there is one. */
  | { do: 'live'; run: string; from: number }
  /** The node's process is shutting down; without commands the shim isn't needed any more. */
  | { do: 'leave' }
  | RunRequest
);

/** The answer to a request. */
export type ShimReply = { re: number } & ({ value: unknown } | { failure: string });

export type ShimEvent = { run: string } & (
  | { event: 'output'; logBytes: number; spaceBytes: number }
  /** The first process has exited, but something still holds the pipes. */
  | { event: 'exit'; exit: CommandExit }
  /** Output so far, not all of which is on disk. */
  | { event: 'unsafe'; counters: OutputCounters }
  | { event: 'end'; end: CommandEnd }
);

export type ShimMessage = ShimReply | ShimEvent;

export const SHIM_PROTOCOL = 1;

/** Why a command cannot be started: a stable word, a colon, and prose. */
export class StartFailure extends Error {
  override readonly name = 'StartFailure';
}

export function add(a: StreamBytes, b: StreamBytes): StreamBytes {
  return { stdoutBytes: a.stdoutBytes + b.stdoutBytes, stderrBytes: a.stderrBytes + b.stderrBytes };
}

export function subtract(a: StreamBytes, b: StreamBytes): StreamBytes {
  return { stdoutBytes: a.stdoutBytes - b.stdoutBytes, stderrBytes: a.stderrBytes - b.stderrBytes };
}

export function total({ stdoutBytes, stderrBytes }: StreamBytes): number {
  return stdoutBytes + stderrBytes;
}

/** Calls `take` with each line's value, in order. Invalid JSON ends the connection: the peer is not what it should be. */
export function readLines(socket: Socket, take: (value: unknown) => void): void {
  const decoder = new StringDecoder('utf8');
  let rest = '';
  socket.on('data', (chunk: Buffer) => {
    const lines = (rest + decoder.write(chunk)).split('\n');
    rest = lines.pop() ?? '';
    for (const line of lines) {
      let value: unknown;
      try {
        value = JSON.parse(line);
      } catch (error) {
        socket.destroy(error instanceof Error ? error : undefined);
        return;
      }
      take(value);
      if (socket.destroyed) return;
    }
  });
}

/** Writes all values with one system call. */
export function writeLines(socket: Socket, values: readonly object[]): void {
  if (!socket.destroyed) socket.write(values.map((value) => `${JSON.stringify(value)}\n`).join(''));
}
