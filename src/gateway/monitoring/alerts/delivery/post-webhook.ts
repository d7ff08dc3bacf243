/** Sends one HTTP request to a receiver: with a deadline, without redirects, and without ever naming its URL, which may be a secret. */
import http from 'node:http';
import https from 'node:https';
import type { Clock } from '../../../../shared/clock.ts';
import { systemErrorCode } from '../../../../shared/errors.ts';
import { type Attempt, attemptOfStatus } from './attempt.ts';
import type { WebhookRequest } from './webhook-request.ts';

/** For all of it: connecting, sending, and the head of the answer, ms. */
export const WEBHOOK_DEADLINE_MS = 15_000;

export interface PostOptions {
  clock: Clock;
  /** Ends the request; the attempt has then failed. */
  signal: AbortSignal;
  userAgent: string;
  deadlineMs?: number;
}

/** Never rejects. The answer's body is not read. */
export function postWebhook({ url, headers, body }: WebhookRequest, options: PostOptions): Promise<Attempt> {
  const { clock, signal, userAgent, deadlineMs = WEBHOOK_DEADLINE_MS } = options;
  return new Promise((resolve) => {
    const target = new URL(url);
    const bytes = Buffer.from(body);
    const request = (target.protocol === 'https:' ? https : http).request(target, {
      method: 'POST',
      // Messages are rare: a connection that is kept open is closed by the other side before the next one.
      agent: false,
      headers: {
        'content-type': 'application/json; charset=utf-8',
        'content-length': bytes.length,
        'user-agent': userAgent,
        ...headers,
      },
    });
    const end = (attempt: Attempt): void => {
      timer.cancel();
      signal.removeEventListener('abort', abort);
      request.destroy();
      resolve(attempt);
    };
    const abort = (): void => end({ kind: 'failed', error: 'the gateway stopped' });
    const timer = clock.after(deadlineMs, () => end({ kind: 'failed', error: `no answer within ${deadlineMs} ms` }));
    signal.addEventListener('abort', abort, { once: true });
    request.on('error', (error) => end({ kind: 'failed', error: systemErrorCode(error) ?? 'the connection broke' }));
    request.once('response', (response) => {
      response.on('error', () => undefined);
      end(attemptOfStatus(response.statusCode ?? 0, response.headers['retry-after'], clock.now()));
    });
    if (signal.aborted) abort();
    else request.end(bytes);
  });
}
