/** Writes what must not be lost: a full disk may have room again later. */
import { type Clock, sleep } from '../../shared/clock.ts';

/** Between two attempts, ms: doubling up to the second. */
const FIRST_RETRY_MS = 100;
const LONGEST_RETRY_MS = 5000;

export interface UntilStoredOptions {
  clock: Clock;
  /** Ends the attempts. */
  signal: AbortSignal;
  /** Called with the first failure only; the others are the same. */
  onFailure: (error: unknown) => void;
}

/** Tries, the first time at once and in any case, until `write` succeeds. False if `signal` aborted before that. */
export async function untilStored(write: () => void | Promise<void>, options: UntilStoredOptions): Promise<boolean> {
  const { clock, signal, onFailure } = options;
  for (let retryMs = FIRST_RETRY_MS; ; retryMs = Math.min(retryMs * 2, LONGEST_RETRY_MS)) {
    try {
      await write();
      return true;
    } catch (error) {
      if (retryMs === FIRST_RETRY_MS) onFailure(error);
      await sleep(clock, retryMs, signal);
      if (signal.aborted) return false;
    }
  }
}
