/** Waits for the end of a process that was asked to stop. */
import { sleep } from '../../shared/clock.ts';
import { FleetError } from '../../shared/errors.ts';
import type { CliContext } from '../context.ts';

/** Long enough for running streams to drain, ms. */
const STOP_DEADLINE_MS = 30_000;
const POLL_INTERVAL_MS = 25;

/** Resolves when `pid` is gone. @throws FleetError `timeout` after {@link STOP_DEADLINE_MS}. */
export async function untilGone(
  context: Pick<CliContext, 'clock' | 'isAlive'>,
  pid: number,
  what: string,
): Promise<void> {
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
