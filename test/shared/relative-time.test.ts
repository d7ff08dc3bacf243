import assert from 'node:assert/strict';
import { test } from 'node:test';
import { formatRelativeTime } from '../../src/shared/duration.ts';

const NOW = Date.UTC(2026, 0, 1);
const SECOND = 1_000;
const DAY = 86_400 * SECOND;

const DISTANCES: [number, string][] = [
  [0, 'now'],
  [4.9 * SECOND, 'now'],
  [-4.9 * SECOND, 'now'],
  [42 * SECOND, '42s ago'],
  [59.9 * SECOND, '59s ago'],
  [3.5 * 60 * SECOND, '3m ago'],
  [DAY - 1, '23h ago'],
  [2 * DAY, '2d ago'],
  [364 * DAY, '364d ago'],
  [800 * DAY, '2y ago'],
  [-5 * 60 * SECOND, 'in 5m'],
];

for (const [distanceMs, text] of DISTANCES) {
  test(`${distanceMs} ms back is ${text}`, () => assert.equal(formatRelativeTime(NOW - distanceMs, NOW), text));
}

test('what has no time was never', () => assert.equal(formatRelativeTime(null, NOW), 'never'));
