/** Asks a process to stop, and waits for its end. */

import { readFileSync } from 'node:fs';
import { sleep } from '../../shared/clock.ts';
import { FleetError, systemErrorCode } from '../../shared/errors.ts';
import type { CliContext } from '../context/context.ts';

/** Long enough for running streams to drain, ms. */
const STOP_DEADLINE_MS = 30_000;
const POLL_INTERVAL_MS = 25;

type Waiting = Pick<CliContext, 'clock' | 'isAlive'>;

/**
 * Resolves with the pid of the process that took the request of `ask`, once it is gone. One that ends just then, for somebody else or
 * by a signal, cuts the connection instead of answering; so it is asked again, until it has answered or nobody is there to do so.
 * @throws FleetError `timeout`; what `ask` throws, such as that nobody is there.
 */
export async function stopProcess(
  context: Waiting,
  ask: () => Promise<{ pid: number }>,
  what: string,
): Promise<number> {
  const { clock } = context;
  const deadline = clock.monotonic() + STOP_DEADLINE_MS;
  for (;;) {
    try {
      const { pid } = await ask();
      await untilGone(context, pid, what);
      return pid;
    } catch (error) {
      const isCut = error instanceof FleetError && error.code === 'connection_lost';
      if (!isCut || clock.monotonic() >= deadline) throw error;
    }
    await sleep(clock, POLL_INTERVAL_MS);
  }
}

/** Resolves when `pid` is gone. @throws FleetError `timeout` after {@link STOP_DEADLINE_MS}. */
export async function untilGone(context: Waiting, pid: number, what: string): Promise<void> {
  const { clock } = context;
  const deadline = clock.monotonic() + STOP_DEADLINE_MS;
  while (context.isAlive(pid)) {
    if (clock.monotonic() >= deadline) {
      throw new FleetError('timeout', `${what} (pid ${pid}) has not stopped within ${STOP_DEADLINE_MS / 1000} s`, {
        hint: `See what it does with its logs; kill -9 ${pid} ends it, and no accepted job is lost.`,
      });
    }
    await sleep(clock, POLL_INTERVAL_MS);
  }
}

/** A zombie counts as gone: in a container, nobody may ever collect it. */
export function isProcessAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
  } catch (error) {
    // EPERM: it exists and is somebody else's (kill(2)).
    return systemErrorCode(error) === 'EPERM';
  }
  return !isZombie(pid);
}

function isZombie(pid: number): boolean {
  if (process.platform !== 'linux') return false;
  try {
    // proc_pid_stat(5): the state is the first field behind the name, which may itself contain parentheses.
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
    return /^[ZX]/.test(stat.slice(stat.lastIndexOf(')') + 2));
  } catch (error) {
    return systemErrorCode(error) === 'ENOENT';
  }
}

/** Passes signals on, and ends with the exit code of the service. `wait` returns early for a signal. */
const SCRIPT = `
for name in TERM INT HUP; do trap "kill -$name \\$child" $name; done
"$@" <&0 & child=$!
while :; do wait $child; code=$?; kill -0 $child 2>/dev/null || exit $code; done`;

export interface Surroundings {
  pid: number;
  argv: readonly string[];
  self: { file: string; args: readonly string[] };
  /** Replaces this process. */
  execve(file: string, args: readonly string[]): void;
  hasShell: boolean;
  warn(text: string): void;
}

/** Returns if this process is to go on itself. */
export function leavePidOne({ pid, argv, self, execve, hasShell, warn }: Surroundings): void {
  // Other commands end before it matters.
  if (pid !== 1 || !argv.includes('up')) return;
  if (hasShell) execve('/bin/sh', ['sh', '-c', SCRIPT, 'fleet', self.file, ...self.args, ...argv]);
  else
    warn(
      'fleet: process 1 must collect orphans, which this one cannot: start the container with `docker run --init`\n',
    );
}
