import assert from 'node:assert/strict';
import { symlinkSync } from 'node:fs';
import path from 'node:path';
import { test } from 'node:test';
import { assertTimeZone, localTimeZone, parseCron } from '../../../src/gateway/schedule/cron.ts';
import { tempFolder } from '../../support/temp-folder.ts';

test('TZ is read as tzset(3) reads it', (t) => {
  const link = path.join(tempFolder(t), 'localtime');
  symlinkSync('/usr/share/zoneinfo/Europe/Berlin', link);
  for (const [tz, zone] of [
    ['Europe/Berlin', 'Europe/Berlin'],
    [':Europe/Berlin', 'Europe/Berlin'],
    ['posix/Europe/Berlin', 'Europe/Berlin'],
    ['/usr/share/zoneinfo/Europe/Berlin', 'Europe/Berlin'],
    [link, 'Europe/Berlin'],
    ['', 'UTC'],
    [':', 'UTC'],
    ['UTC', 'UTC'],
    ['EST5EDT', 'EST5EDT'],
    ['UTC-3', '+03:00'],
    ['<+0330>-3:30', '+03:30'],
    ['EST5', '-05:00'],
  ] as const) {
    assert.equal(localTimeZone(tz), zone, JSON.stringify(tz));
    const at = parseCron('0 7 * * *', localTimeZone(tz)).after(Date.UTC(2026, 0, 10));
    assert.ok(at !== null && at > Date.UTC(2026, 0, 10), tz);
  }
  assertTimeZone(localTimeZone(undefined));
  assert.equal(parseCron('0 7 * * *', localTimeZone('UTC-3')).after(Date.UTC(2026, 0, 10)), Date.UTC(2026, 0, 10, 4));
});

test('what has neither a name nor an offset is refused with words where it is needed', () => {
  for (const tz of ['CET-1CEST,M3.5.0,M10.5.0/3', 'XYZ-3DST', 'UTC-99']) {
    assert.throws(() => assertTimeZone(localTimeZone(tz)), { code: 'usage', message: /POSIX/, hint: /--tz/ }, tz);
  }
  for (const tz of ['Nope/Zone', '/no/such/file', '12']) {
    assert.throws(
      () => assertTimeZone(localTimeZone(tz)),
      { code: 'usage', message: /no time zone/, hint: /--tz/ },
      tz,
    );
  }
  for (const named of ['', 'Etc/Unknown', 'Mars/Olympus', 'UTC-3']) {
    assert.throws(() => assertTimeZone(named), { code: 'usage' }, named);
  }
});
