import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import {
  type Attempt,
  afterAttempt,
  attemptOfStatus,
  GIVE_UP_AFTER_MS,
  LONGEST_RETRY_MS,
  MOST_REFUSALS,
} from '../../../../src/gateway/monitoring/alerts/attempt.ts';

const NOW = Date.UTC(2026, 0, 1);

test('which HTTP statuses are retried for a day, and which count as refusals', () => {
  const kind = (status: number): Attempt['kind'] => attemptOfStatus(status, undefined, NOW).kind;
  for (const status of [200, 201, 204]) assert.equal(kind(status), 'delivered');
  for (const status of [408, 425, 429, 500, 502, 503, 504]) assert.equal(kind(status), 'failed', String(status));
  for (const status of [0, 301, 302, 400, 401, 403, 404, 410, 413])
    assert.equal(kind(status), 'refused', String(status));
});

test('Retry-After in seconds or as a date is respected, up to an hour', () => {
  const delayOf = (retryAfter: string): number => {
    const attempt = attemptOfStatus(429, retryAfter, NOW);
    return afterAttempt(attempt, { attempts: 1, createdAt: NOW }, NOW, () => 0).nextAt - NOW;
  };
  assert.equal(delayOf('120'), 120_000);
  assert.equal(delayOf(new Date(NOW + 90_000).toUTCString()), 90_000);
  assert.equal(delayOf('999999999'), LONGEST_RETRY_MS);
  for (const nonsense of ['soon', '-5', '0', '1e9']) assert.equal(delayOf(nonsense), 2_500, nonsense);
});

test('a refusal counts the third time', () => {
  const outcomes = [1, 2, 3].map(
    (attempts) =>
      afterAttempt({ kind: 'refused', error: 'HTTP 404' }, { attempts, createdAt: NOW }, NOW, () => 0).outcome,
  );
  assert.deepEqual(outcomes, ['waiting', 'waiting', 'given_up']);
  assert.equal(MOST_REFUSALS, 3);
});

test('delays grow to an hour, are jittered, and end after a day', () => {
  fc.assert(
    fc.property(fc.infiniteStream(fc.double({ min: 0, max: 1, maxExcluded: true, noNaN: true })), (luck) => {
      const random = (): number => luck.next().value ?? 0;
      let now = NOW;
      let attempts = 0;
      for (;;) {
        attempts += 1;
        const next = afterAttempt({ kind: 'failed', error: 'HTTP 500' }, { attempts, createdAt: NOW }, now, random);
        if (next.outcome === 'given_up') break;
        const delay = next.nextAt - now;
        const full = Math.min(LONGEST_RETRY_MS, 5_000 * 2 ** (attempts - 1));
        assert.ok(delay >= Math.floor(full / 2) && delay <= full + 1, `${delay} of ${full}`);
        now = next.nextAt;
      }
      assert.ok(now - NOW <= GIVE_UP_AFTER_MS && now - NOW > GIVE_UP_AFTER_MS - LONGEST_RETRY_MS);
      assert.ok(attempts < 100);
    }),
    { numRuns: 50 },
  );
});
