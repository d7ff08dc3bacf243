import assert from 'node:assert/strict';
import { mkdirSync, readdirSync, readFileSync, statSync, symlinkSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { type TestContext, test } from 'node:test';
import { type ReportPlaces, resolveReportPath, writeReportFile } from '../../../src/gateway/schedule/report-file.ts';
import { tempFolder } from '../../support/temp-folder.ts';

function place(t: TestContext): ReportPlaces & { outside: string } {
  const folder = tempFolder(t);
  const home = path.join(folder, 'home');
  const outside = path.join(folder, 'www');
  mkdirSync(path.join(home, 'gateway'), { recursive: true });
  mkdirSync(outside);
  return { home, reports: path.join(home, 'reports'), outside };
}

test('a relative path is below HOME/reports, whose folders are made and closed to others', async (t) => {
  const places = place(t);
  const file = await writeReportFile('daily/fleet.html', '<p>', places);
  assert.equal(file, path.join(places.reports, 'daily/fleet.html'));
  assert.equal(readFileSync(file, 'utf8'), '<p>');
  assert.equal(statSync(places.reports).mode & 0o777, 0o700);
});

test('an absolute path is replaced as a whole, and nothing else is left there', async (t) => {
  const places = place(t);
  const out = path.join(places.outside, 'fleet.html');
  writeFileSync(out, 'old');
  await writeReportFile(out, 'new', places);
  assert.equal(readFileSync(out, 'utf8'), 'new');
  assert.deepEqual(readdirSync(places.outside), ['fleet.html']);
});

test('keys and database cannot be meant, by no path', (t) => {
  const places = place(t);
  const wrong = [
    '../gateway/fleet.db',
    'a/../../gateway/host_ed25519',
    '../../www/x',
    path.join(places.home, 'config.yaml'),
    path.join(places.reports, '../gateway/fleet.db'),
    'folder/',
    '..',
    'a\0b',
    'a\nb',
  ];
  for (const out of wrong) assert.throws(() => resolveReportPath(out, places), { code: 'usage' }, JSON.stringify(out));
  assert.equal(resolveReportPath('..hidden', places), path.join(places.reports, '..hidden'));
});

test('neither can they through a link', async (t) => {
  const places = place(t);
  mkdirSync(places.reports);
  symlinkSync(path.join(places.home, 'gateway'), path.join(places.reports, 'in'));
  symlinkSync(path.join(places.home, 'gateway'), path.join(places.outside, 'in'));
  await assert.rejects(writeReportFile('in/fleet.db', 'x', places), { code: 'usage' });
  await assert.rejects(writeReportFile(path.join(places.outside, 'in/fleet.db'), 'x', places), { code: 'usage' });
  assert.deepEqual(readdirSync(path.join(places.home, 'gateway')), []);
});

test('only plain files are replaced, and a folder elsewhere is not made', async (t) => {
  const places = place(t);
  mkdirSync(path.join(places.outside, 'folder'));
  symlinkSync('/dev/null', path.join(places.outside, 'link'));
  for (const name of ['folder', 'link', 'missing/file']) {
    await assert.rejects(
      writeReportFile(path.join(places.outside, name), 'x', places),
      { code: 'storage_failed' },
      name,
    );
  }
  assert.deepEqual(readdirSync(places.outside).sort(), ['folder', 'link']);
});
