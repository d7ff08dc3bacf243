/** Signs webhooks as Standard Webhooks 1.0.0 has it (standardwebhooks.com), for which receivers find libraries in every language. */
import { createHmac } from 'node:crypto';
import { secretBytes } from '../alert-receiver.ts';

/** `timestampS`: when it is sent, seconds since the epoch, so that a receiver can refuse what was recorded long ago. */
export function webhookHeaders(
  id: string,
  timestampS: number,
  body: string,
  secret: string | undefined,
): Record<string, string> {
  const headers = { 'webhook-id': id, 'webhook-timestamp': String(timestampS) };
  if (secret === undefined) return headers;
  const signature = createHmac('sha256', secretBytes(secret)).update(`${id}.${timestampS}.${body}`).digest('base64');
  return { ...headers, 'webhook-signature': `v1,${signature}` };
}
