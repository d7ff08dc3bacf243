/** Sends one HTTP request to a receiver: with a deadline, without redirects, and without ever naming its URL, which may be a secret. */
import http from 'node:http';
import https from 'node:https';
import { FLEET_VERSION } from '../../../protocol/version.ts';
import type { Clock } from '../../../shared/clock.ts';
import { systemErrorCode } from '../../../shared/errors.ts';
import { type Attempt, attemptOfStatus } from './attempt.ts';
import type { WebhookRequest } from './receivers.ts';

/** For connecting, sending, and the head of the answer together, ms. */
const WEBHOOK_DEADLINE_MS = 15_000;

interface PostOptions {
  clock: Clock;
  /** Fails the attempt. */
  signal: AbortSignal;
  deadlineMs?: number;
}

/** Never rejects. Does not read the answer's body. */
export function postWebhook({ url, headers, body }: WebhookRequest, options: PostOptions): Promise<Attempt> {
  const { clock, signal, deadlineMs = WEBHOOK_DEADLINE_MS } = options;
  return new Promise((resolve) => {
    const target = new URL(url);
    const bytes = Buffer.from(body);
    const request = (target.protocol === 'https:' ? https : http).request(target, {
      method: 'POST',
      // Messages are rare: the other side would close a kept connection before the next one.
      agent: false,
      headers: {
        'content-type': 'application/json; charset=utf-8',
        'content-length': bytes.length,
        'user-agent': `fleet/${FLEET_VERSION}`,
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
