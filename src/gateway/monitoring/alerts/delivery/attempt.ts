/** What one attempt to tell a receiver came to, and when the next one is; pure. */

export type Attempt =
  | { kind: 'delivered' }
  /** May pass by itself. `retryAfterMs`: what the receiver asked for. `detail`: words of the receiver's own, which may hold secrets. */
  | { kind: 'failed'; error: string; retryAfterMs?: number; detail?: string }
  /** The receiver does not want it. */
  | { kind: 'refused'; error: string };

/** First delay, and the cap before jitter, ms. */
const FIRST_RETRY_MS = 5_000;
export const LONGEST_RETRY_MS = 3_600_000;
/** Trying ends so long after the message was made, ms. */
export const GIVE_UP_AFTER_MS = 24 * 3_600_000;
/** A refusal is believed the third time: a proxy may say 404 while what is behind it starts. */
export const MOST_REFUSALS = 3;

export interface NextStep {
  outcome: 'waiting' | 'delivered' | 'given_up';
  /** When to try again, or when it was done, ms. */
  nextAt: number;
  error: string | null;
}

/** `attempts` counts this one. Equal jitter: between half and all of the delay, which doubles. */
export function afterAttempt(
  attempt: Attempt,
  { attempts, createdAt }: { attempts: number; createdAt: number },
  now: number,
  random: () => number,
): NextStep {
  if (attempt.kind === 'delivered') return { outcome: 'delivered', nextAt: now, error: null };
  const { error } = attempt;
  const capped = Math.min(LONGEST_RETRY_MS, FIRST_RETRY_MS * 2 ** Math.min(attempts - 1, 20));
  const asked = attempt.kind === 'failed' ? Math.min(attempt.retryAfterMs ?? 0, LONGEST_RETRY_MS) : 0;
  const nextAt = now + Math.max(asked, capped / 2 + (capped / 2) * random());
  const isOver = attempt.kind === 'refused' ? attempts >= MOST_REFUSALS : nextAt - createdAt > GIVE_UP_AFTER_MS;
  return isOver
    ? { outcome: 'given_up', nextAt: now, error }
    : { outcome: 'waiting', nextAt: Math.round(nextAt), error };
}

/** What an HTTP status means. `retryAfter` is that header: seconds, or a date. */
export function attemptOfStatus(status: number, retryAfter: string | undefined, now: number): Attempt {
  if (status >= 200 && status < 300) return { kind: 'delivered' };
  const error = `HTTP ${status}`;
  const isPassing = status >= 500 || status === 408 || status === 425 || status === 429;
  if (!isPassing) return { kind: 'refused', error };
  const retryAfterMs = readRetryAfter(retryAfter, now);
  return { kind: 'failed', error, ...(retryAfterMs === null ? {} : { retryAfterMs }) };
}

function readRetryAfter(text: string | undefined, now: number): number | null {
  if (text === undefined) return null;
  const ms = /^\d{1,9}$/.test(text) ? Number(text) * 1000 : Date.parse(text) - now;
  return Number.isFinite(ms) && ms > 0 ? ms : null;
}
