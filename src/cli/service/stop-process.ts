/** Asks a process to stop, and waits for its end. */
import { sleep } from '../../shared/clock.ts';
import { FleetError } from '../../shared/errors.ts';
import type { CliContext } from '../context.ts';

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
