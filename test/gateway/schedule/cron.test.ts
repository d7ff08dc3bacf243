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
  const rest = fc.constantFrom('* * *', '* * 0', '29 3 *', '25 10 *', '1-28 * 1-5', '*/2 * 1');
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

/** crontab(5) in the words of its man page, one field of one moment at a time: shares nothing with what is tested. */
function matches(cron: string, at: Date): boolean {
  const [minute = '', hour = '', dom = '', month = '', dow = ''] = cron.split(' ');
  const names = ['sun', 'mon', 'tue', 'wed', 'thu', 'fri', 'sat'];
  const number = (text: string): number => (names.includes(text) ? names.indexOf(text) : Number(text));
  const has = (field: string, value: number, low: number, high: number): boolean =>
    field.split(',').some((part) => {
      const [range = '', step = '1'] = part.split('/');
      const [first = '', last = first] = range === '*' ? [String(low), String(high)] : range.split('-');
      for (let each = number(first); each <= number(last); each += Number(step)) if (each === value) return true;
      return false;
    });
  const day = at.getUTCDay();
  const inMonth = has(dom, at.getUTCDate(), 1, 31);
  const inWeek = has(dow, day, 0, 7) || (day === 0 && has(dow, 7, 0, 7));
  return (
    has(minute, at.getUTCMinutes(), 0, 59) &&
    has(hour, at.getUTCHours(), 0, 23) &&
    has(month, at.getUTCMonth() + 1, 1, 12) &&
    (dom.startsWith('*') || dow.startsWith('*') ? inMonth && inWeek : inMonth || inWeek)
  );
}

/** Any field that crontab(5) allows: stars, values, ranges, steps and lists of them. */
function field(low: number, high: number, ...names: string[]): fc.Arbitrary<string> {
  const value = fc.integer({ min: low, max: high });
  const range = fc.tuple(value, value).map(([a, b]) => `${Math.min(a, b)}-${Math.max(a, b)}`);
  const stepped = fc
    .tuple(fc.oneof(fc.constant('*'), range), fc.integer({ min: 1, max: high + 3 }))
    .map((p) => p.join('/'));
  const part = fc.oneof(fc.constant('*'), value.map(String), range, stepped, ...names.map((name) => fc.constant(name)));
  return fc.oneof(
    fc.constant('*'),
    part,
    fc.array(part, { minLength: 1, maxLength: 3 }).map((parts) => parts.join(',')),
  );
}

test('any expression means what crontab(5) says, minute by minute', () => {
  const expression = fc
    .tuple(
      fc.constantFrom('0', '7', '*/20', '5-50/15'),
      field(0, 23),
      field(1, 31),
      field(1, 12),
      field(0, 7, 'sun', 'fri'),
    )
    .map((fields) => fields.join(' '));
  const start = fc.constantFrom('2026-02-10T00:00:00Z', '2028-02-20T00:00:00Z', '2026-12-20T00:00:00Z');
  const property = fc.property(expression, start, (cron, from) => {
    const begin = Date.parse(from);
    const end = begin + 25 * 86_400_000;
    const expected: number[] = [];
    for (let at = begin + 60_000; at <= end; at += 60_000) if (matches(cron, new Date(at))) expected.push(at);
    let found: number[];
    try {
      found = parseCron(cron, 'UTC').between(begin, end, 100_000);
    } catch (error) {
      assert.match((error as Error).message, /that day does not exist/);
      found = [];
    }
    assert.deepEqual(found, expected);
  });
  fc.assert(property, { numRuns: 150 });
});

test('any expression means the same when the clock changes: wild ones by elapsed time, fixed ones once', () => {
  const local = new Intl.DateTimeFormat('sv-SE', { timeZone: BERLIN, dateStyle: 'short', timeStyle: 'short' });
  // Local time as if it were UTC.
  const localOf = (at: number): number => Date.parse(`${local.format(at).replace(' ', 'T')}:00Z`);
  const expression = fc
    .tuple(fc.oneof(field(0, 59), fc.constantFrom('0', '30')), field(0, 4))
    .map((fields) => `${fields.join(' ')} * * *`);
  const start = fc.constantFrom('2026-03-28T22:30:00Z', '2026-10-24T21:30:00Z');
  const property = fc.property(expression, start, (cron, from) => {
    const isWild = cron.split(' ', 2).some((each) => each.startsWith('*'));
    const [begin, end] = [Date.parse(from), Date.parse(from) + 6 * 3_600_000];
    const expected: number[] = [];
    let latest = localOf(begin);
    for (let at = begin + 60_000; at <= end; at += 60_000) {
      const now = localOf(at);
      const minutes = isWild ? [now] : [];
      for (let each = latest + 60_000; !isWild && each <= now; each += 60_000) minutes.push(each);
      if (minutes.some((each) => matches(cron, new Date(each)))) expected.push(at);
      latest = Math.max(latest, now);
    }
    assert.deepEqual(parseCron(cron, BERLIN).between(begin, end, 10_000), expected);
  });
  fc.assert(property, { numRuns: 200 });
});

test('a day of month or week that starts with a star is one of two conditions, any other one of two chances', () => {
  const days = (cron: string): string[] =>
    parseCron(cron, 'UTC')
      .between(Date.parse('2026-05-31T23:59:00Z'), Date.parse('2026-06-14T23:59:00Z'), 100)
      .map((at) => String(new Date(at).getUTCDate()));
  // 1 and 8 June 2026 are Mondays.
  assert.deepEqual(days('0 0 */2 * 1'), ['1']);
  assert.deepEqual(days('0 0 1-31/2 * 1'), ['1', '3', '5', '7', '8', '9', '11', '13']);
  assert.deepEqual(days('0 0 5 * 1'), ['1', '5', '8']);
  assert.deepEqual(days('0 0 8 * */3'), []);
  assert.deepEqual(days('0 0 6,*/2 * 1'), ['1', '3', '5', '6', '7', '8', '9', '11', '13']);
  assert.deepEqual(days('0 0 * * 7'), days('0 0 * * sun'));
  assert.deepEqual(days('0 0 * * 5-7'), ['5', '6', '7', '12', '13', '14']);
});

test('29 February, in leap years only, and on a weekday if that is asked for', () => {
  const next = (cron: string): string =>
    new Date(parseCron(cron, 'UTC').after(Date.parse('2026-01-01T00:00:00Z')) ?? 0).toISOString().slice(0, 10);
  assert.equal(next('0 0 29 2 *'), '2028-02-29');
  assert.equal(next('0 0 29 feb */6'), '2032-02-29');
});

test('a star in hours or minutes, not a step, makes a schedule follow elapsed time when the clock changes', () => {
  const night = ['2026-03-29T00:00:00Z', '2026-03-29T02:30:00Z'] as const;
  assert.deepEqual(times('0 0-23/2 * * *', ...night), ['01:00', '02:00']);
  assert.deepEqual(times('0 */2 * * *', ...night), ['02:00']);
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
  for (const cron of ['@hourly', '@daily', '0 7 * * MON-FRI', ' 0 7 * * * ', '0\t7  1 jan,Feb *'])
    parseCron(cron, 'UTC');
});

test('what other programs have added to crontab(5) is refused by name', () => {
  for (const [cron, message] of [
    ['0 0 L * *', /L \(the last day\)/],
    ['0 0 LW * *', /L \(the last day\)/],
    ['0 0 * * 5L', /L \(the last day\)/],
    ['0 0 15W * *', /W \(the nearest weekday\)/],
    ['0 0 * * 5#2', /# /],
    ['0 0 ? * *', /\? /],
    ['H 0 * * *', /H /],
    ['0~30 0 * * *', /~ /],
    ['0 20 1 * +1', /\+ /],
    ['0 0 0 1 1 *', /6 fields instead of 5; there are no seconds/],
    ['0 0 0 1 1 * 2030', /7 fields instead of 5/],
    ['@reboot', /@reboot is not a time/],
    ['@fortnightly', /there are only @yearly/],
    ['5/15 * * * *', /a step needs a range: write 5-59\/15/],
    ['*/0 * * * *', /step/],
    ['0 0 * * fri-sun', /backwards; Sunday is 7/],
    ['30-10 * * * *', /backwards/],
    ['0 0 * * 8', /day of week 8 is not between 0 and 7/],
    ['0 0 * 0 *', /month 0 is not between/],
    ['0 0 * * monday', /"monday" is not a valid day of week/],
    ['jan 0 * * *', /not a valid minute/],
    ['1.5 0 * * *', /not a valid minute/],
    ['0 0 1, * *', /not a valid day of month/],
    ['-1 * * * *', /not a valid minute/],
  ] as const) {
    assert.throws(() => parseCron(cron, 'UTC'), { code: 'usage', message }, cron);
  }
});
