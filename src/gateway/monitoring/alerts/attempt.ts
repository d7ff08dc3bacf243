/** The outcome of one attempt to reach a receiver, and when to try again. Pure. */
import { backoffMs } from '../../../shared/clock.ts';

export type Attempt =
  | { kind: 'delivered' }
  /** May pass by itself. `retryAfterMs`: what the receiver asked for. `detail`: the receiver's own words, which may hold secrets. */
  | { kind: 'failed'; error: string; retryAfterMs?: number; detail?: string }
  /** The receiver rejects the message. */
  | { kind: 'refused'; error: string };

/** First delay, and the cap before jitter, ms. */
const FIRST_RETRY_MS = 5_000;
export const LONGEST_RETRY_MS = 3_600_000;
/** Age at which an undelivered message is given up, ms. */
export const GIVE_UP_AFTER_MS = 24 * 3_600_000;
/** A refusal counts the third time: a proxy may answer 404 while the service behind it starts. */
export const MOST_REFUSALS = 3;

interface NextStep {
  outcome: 'waiting' | 'delivered' | 'given_up';
  /** When to try again, or when it was done, ms. */
  nextAt: number;
  error: string | null;
}

/** `attempts` includes this one. Equal jitter: between half and all of the delay, which doubles. */
export function afterAttempt(
  attempt: Attempt,
  { attempts, createdAt }: { attempts: number; createdAt: number },
  now: number,
  random: () => number,
): NextStep {
  if (attempt.kind === 'delivered') return { outcome: 'delivered', nextAt: now, error: null };
  const { error } = attempt;
  const delayMs = backoffMs(attempts, { initialMs: FIRST_RETRY_MS, maxMs: LONGEST_RETRY_MS, random });
  const asked = attempt.kind === 'failed' ? Math.min(attempt.retryAfterMs ?? 0, LONGEST_RETRY_MS) : 0;
  const nextAt = now + Math.max(asked, delayMs);
  const isOver = attempt.kind === 'refused' ? attempts >= MOST_REFUSALS : nextAt - createdAt > GIVE_UP_AFTER_MS;
  return isOver
    ? { outcome: 'given_up', nextAt: now, error }
    : { outcome: 'waiting', nextAt: Math.round(nextAt), error };
}

/** What an HTTP status means. `retryAfter`: the header, in seconds or as a date. */
export function attemptOfStatus(status: number, retryAfter: string | undefined, now: number): Attempt {
  if (status >= 200 && status < 300) return { kind: 'delivered' };
  const error = `HTTP ${status}`;
  if (status < 500 && ![408, 425, 429].includes(status)) return { kind: 'refused', error };
  const seconds = /^\d{1,9}$/.test(retryAfter ?? '');
  const retryAfterMs = seconds ? Number(retryAfter) * 1000 : Date.parse(retryAfter ?? '') - now;
  return retryAfterMs > 0 ? { kind: 'failed', error, retryAfterMs } : { kind: 'failed', error };
}
