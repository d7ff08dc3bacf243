/** Processes of this machine: whether one is alive, stopping one, and what process 1 of a container has to do. */
import { readFileSync } from 'node:fs';
import { sleep } from '../../shared/clock.ts';
import { FleetError, systemErrorCode } from '../../shared/errors.ts';
import type { CliContext } from '../context/command.ts';

/** Longest wait for a process to stop, ms: running streams drain first. */
const STOP_DEADLINE_MS = 30_000;
const POLL_INTERVAL_MS = 25;

type Waiting = Pick<CliContext, 'clock' | 'isAlive'>;

/**
 * Resolves with the pid of the process that answered `ask`, once it is gone. A process that is just ending for another reason drops the
 * connection instead of answering, so `ask` is repeated until it is answered or nothing listens any more.
 * @throws FleetError `timeout`, or what `ask` throws, for example because nothing is running.
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
        hint: `See its log for what it is doing; kill -9 ${pid} ends it, and no accepted job is lost.`,
      });
    }
    await sleep(clock, POLL_INTERVAL_MS);
  }
}

/** A zombie counts as gone: in a container, nothing may ever reap it. */
export function isProcessAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
  } catch (error) {
    // EPERM: it exists, and belongs to another user (kill(2)).
    return systemErrorCode(error) === 'EPERM';
  }
  return !isZombie(pid);
}

function isZombie(pid: number): boolean {
  if (process.platform !== 'linux') return false;
  try {
    // proc_pid_stat(5): the state follows the name, which may itself contain parentheses.
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
    return /^[ZX]/.test(stat.slice(stat.lastIndexOf(')') + 2));
  } catch (error) {
    return systemErrorCode(error) === 'ENOENT';
  }
}

/** Forwards signals, and exits with the service's exit code. `wait` returns early on a signal. */
const SCRIPT = `
for name in TERM INT HUP; do trap "kill -$name \\$child" $name; done
"$@" <&0 & child=$!
while :; do wait $child; code=$?; kill -0 $child 2>/dev/null || exit $code; done`;

interface Surroundings {
  pid: number;
  argv: readonly string[];
  self: { file: string; args: readonly string[] };
  /** Replaces this process. */
  execve(file: string, args: readonly string[]): void;
  hasShell: boolean;
  warn(text: string): void;
}

/**
 * A container's first process inherits all orphans and must reap them. Node.js cannot (it has no waitpid), but any shell does while it
 * waits; so a service that is process 1 replaces itself with a shell, and continues as its child. Returns if this process should continue.
 */
export function leavePidOne({ pid, argv, self, execve, hasShell, warn }: Surroundings): void {
  // Other commands end before it matters.
  if (pid !== 1 || !argv.includes('up')) return;
  if (hasShell) execve('/bin/sh', ['sh', '-c', SCRIPT, 'fleet', self.file, ...self.args, ...argv]);
  else
    warn(
      'fleet: process 1 must reap orphans, which this process cannot do: start the container with `docker run --init`\n',
    );
}
