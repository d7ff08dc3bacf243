/** The only place that starts the commands of runs. */
import { execa, type Options } from 'execa';
import type { CommandExit } from './messages.ts';

interface SpawnOptions {
  /** Program, by absolute path, and its arguments. Nothing is quoted or split. */
  argv: readonly [string, ...string[]];
  cwd: string;
  /** The whole environment; nothing is inherited. */
  env: NodeJS.ProcessEnv;
  /** File descriptors of this process; the caller closes them after the call. */
  stdin: number | 'ignore';
  stdout: number;
  stderr: number;
  /** Further descriptors that the command shall hold open without knowing it. */
  hold: readonly number[];
}

type Spawned =
  | { started: true; pid: number; exited: Promise<CommandExit> }
  | { started: false; failure: Promise<{ code: string | undefined; message: string }> };

/**
 * Number of the first held descriptor in the command. Scripts use 3 to 9 by hand and shells take from 10 up for themselves,
 * skipping what is taken; so these are out of everybody's way.
 */
const FIRST_HELD_FD = 20;

/** Starts a command in a session and process group of its own, so that it outlives this process and can be signaled as a whole. */
export function spawnCommand(options: SpawnOptions): Spawned {
  const { argv, cwd, env, stdin, stdout, stderr, hold } = options;
  const gap = Array<'ignore'>(FIRST_HELD_FD - 3).fill('ignore');
  const [file, ...args] = argv;
  // Execa's types know only the descriptors 0 to 2 by number; Node.js's, and execa itself, take any.
  const stdio = [stdin, stdout, stderr, ...gap, ...hold] as unknown as ['ignore', 'ignore', 'ignore'] &
    Options['stdio'];
  const subprocess = execa(file, args, {
    cwd,
    env,
    extendEnv: false,
    stdio,
    buffer: false,
    reject: false,
    cleanup: false,
    detached: true,
  });
  const { pid } = subprocess;
  if (pid === undefined) {
    return { started: false, failure: subprocess.then(({ code, message }) => ({ code, message: message ?? '' })) };
  }
  return {
    started: true,
    pid,
    exited: subprocess.then(({ exitCode, signal }) => ({ exitCode: exitCode ?? null, signal: signal ?? null })),
  };
}
