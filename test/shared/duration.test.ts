import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { formatDuration, parseDuration } from '../../src/shared/duration.ts';

test('durations as people write them', () => {
  const table: [string, number][] = [
    ['250ms', 250],
    ['30s', 30_000],
    ['30', 30_000],
    ['0.5', 500],
    ['1h30m', 5_400_000],
    ['1m5s', 65_000],
    ['7d', 604_800_000],
    ['2w', 1_209_600_000],
    [' 5m ', 300_000],
    ['0', 0],
  ];
  for (const [text, ms] of table) assert.equal(parseDuration(text), ms, text);
});

test('what is no duration is refused, and so is one that no clock can count', () => {
  for (const text of ['', '-5s', '5x', 's', '1e3', '5 m', 'Infinity', `${'9'.repeat(400)}d`, `${'9'.repeat(30)}`]) {
    assert.throws(() => parseDuration(text, '--timeout'), { code: 'usage' }, text);
  }
});

test('a parsed duration is always a whole number of milliseconds', () => {
  const units = fc.constantFrom('ms', 's', 'm', 'h', 'd', 'w', '');
  fc.assert(
    fc.property(
      fc.array(fc.tuple(fc.integer({ min: 0, max: 1e9 }), units), { minLength: 1, maxLength: 4 }),
      (parts) => {
        try {
          assert.ok(Number.isSafeInteger(parseDuration(parts.map(([amount, unit]) => `${amount}${unit}`).join(''))));
        } catch (error) {
          assert.equal((error as { code: string }).code, 'usage');
        }
      },
    ),
  );
});

test('durations as people read them', () => {
  const table: [number, string][] = [
    [0, '0ms'],
    [999, '999ms'],
    [45_000, '45s'],
    [200_000, '3m 20s'],
    [7_500_000, '2h 5m'],
    [3_600_000, '1h'],
    [4 * 86_400_000 + 3_600_000 + 59_000, '4d 1h'],
  ];
  for (const [ms, text] of table) assert.equal(formatDuration(ms), text);
});
