import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { parseCron } from '../../../src/gateway/schedule/cron.ts';

const BERLIN = 'Europe/Berlin';

/** The times of one expression in a period, as ISO 8601 UTC without the date. */
function times(cron: string, from: string, to: string, timeZone = BERLIN): string[] {
  return parseCron(cron, timeZone)
    .between(Date.parse(from), Date.parse(to), 100)
    .map((at) => new Date(at).toISOString().slice(11, 16));
}

test('7 in the morning is 7 in the morning, in winter and in summer', () => {
  const at = parseCron('0 7 * * *', BERLIN);
  assert.equal(at.after(Date.parse('2026-01-10T00:00:00Z')), Date.parse('2026-01-10T06:00:00Z'));
  assert.equal(at.after(Date.parse('2026-07-10T00:00:00Z')), Date.parse('2026-07-10T05:00:00Z'));
  assert.equal(at.after(Date.parse('2026-07-10T05:00:00Z')), Date.parse('2026-07-11T05:00:00Z'), 'strictly after');
});

test('spring, 2026-03-29 in Berlin: 02:30 does not exist, and is made up for at 03:00; elapsed time goes on', () => {
  const night = ['2026-03-28T23:00:00Z', '2026-03-29T04:00:00Z'] as const;
  assert.deepEqual(times('30 2 * * *', ...night), ['01:00']);
  assert.deepEqual(times('0 2,5 * * *', ...night), ['01:00', '03:00']);
  assert.deepEqual(times('0 * * * *', ...night), ['00:00', '01:00', '02:00', '03:00', '04:00']);
  assert.deepEqual(times('*/30 * * * *', '2026-03-29T00:20:00Z', '2026-03-29T01:40:00Z'), ['00:30', '01:00', '01:30']);
});

test('autumn, 2026-10-25 in Berlin: 02:30 exists twice and comes once; elapsed time goes on', () => {
  const night = ['2026-10-24T22:00:00Z', '2026-10-25T03:00:00Z'] as const;
  assert.deepEqual(times('30 2 * * *', ...night), ['00:30']);
  assert.deepEqual(times('0 * * * *', ...night), ['23:00', '00:00', '01:00', '02:00', '03:00']);
  assert.deepEqual(times('0 0 * * *', '2026-10-24T00:00:00Z', '2026-10-26T00:00:00Z'), ['22:00', '23:00']);
});

test('looking back finds what looking forward finds, for any expression, across both changes of the clock', () => {
  const minute = fc.oneof(fc.integer({ min: 0, max: 59 }).map(String), fc.constantFrom('*', '*/15', '0,30', '10-12'));
  const hour = fc.oneof(fc.integer({ min: 0, max: 23 }).map(String), fc.constantFrom('*', '*/2', '1-3', '2,14'));
  const rest = fc.constantFrom('* * *', '* * 0', '29 3 *', '25 10 *', '1-28 * 1-5', 'L * *');
  const start = fc.constantFrom('2026-03-28T20:17:00Z', '2026-10-24T20:17:31Z', '2026-06-01T00:00:00Z');
  const property = fc.property(minute, hour, rest, start, (m, h, day, from) => {
    const cron = parseCron(`${m} ${h} ${day}`, BERLIN);
    const begin = Date.parse(from);
    const end = begin + 9 * 3_600_000;
    const forward: number[] = [];
    for (let at = cron.after(begin); at !== null && at <= end; at = cron.after(at)) forward.push(at);
    assert.deepEqual(cron.between(begin, end, 1_000), forward);
    assert.deepEqual(cron.between(begin, end, 2), forward.slice(-2));
  });
  fc.assert(property, { numRuns: 40 });
});

test('a time that is due this very moment is in the past, to the millisecond', () => {
  const cron = parseCron('* * * * *', 'UTC');
  const at = Date.parse('2026-01-01T00:05:00Z');
  assert.deepEqual(cron.between(at - 60_000, at, 10), [at]);
  assert.deepEqual(cron.between(at - 60_000, at - 1, 10), []);
  assert.deepEqual(cron.between(at, at + 59_999, 10), []);
});

test('what is wrong is refused with what and what to write', () => {
  for (const cron of [
    '',
    'nope',
    '61 * * * *',
    '* * * * * *',
    '0 0 30 2 *',
    '? * * * *',
    '@reboot',
    '2026-01-01',
    '* *',
  ]) {
    assert.throws(() => parseCron(cron, 'UTC'), { code: 'usage', message: /cron expression/ }, cron);
  }
  assert.throws(() => parseCron('@daily', 'Mars/Olympus'), { code: 'usage', message: /time zone Mars/ });
  for (const cron of ['@hourly', '@daily', '0 7 * * MON-FRI', ' 0 7 * * * ']) parseCron(cron, 'UTC');
});
