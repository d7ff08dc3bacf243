import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { chmodSync, existsSync, mkdirSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { type TestContext, test } from 'node:test';
import type { FleetError } from '../../src/shared/errors.ts';
import {
  assertOwner,
  assertPrivateContents,
  createPrivateFile,
  ensurePrivateFolder,
  readPrivateFile,
} from '../../src/shared/private-file.ts';
import { writeNewPrivateFile, writePrivateFile } from '../../src/shared/write-file.ts';
import { cleanUp, tempFolder } from '../support/temp-folder.ts';

function mode(file: string): number {
  return statSync(file).mode & 0o777;
}

/** A disk that is full after `kibibytes`; undefined where nobody may mount one. */
function smallDisk(t: TestContext, kibibytes: number): string | undefined {
  const folder = tempFolder(t);
  try {
    execFileSync('mount', ['-t', 'tmpfs', '-o', `size=${kibibytes}k,mode=700`, 'tmpfs', folder], { stdio: 'ignore' });
  } catch {
    return undefined;
  }
  cleanUp(t, () => execFileSync('umount', [folder]));
  return folder;
}

test('folders are made with their parents, for their owner only', (t) => {
  const folder = path.join(tempFolder(t), 'a', 'b');
  ensurePrivateFolder(folder);
  assert.equal(mode(folder), 0o700);
  assert.equal(mode(path.dirname(folder)), 0o700);
  ensurePrivateFolder(folder);
});

test('an open folder or file is refused with the command that repairs it, never silently fixed', (t) => {
  const folder = path.join(tempFolder(t), 'open');
  mkdirSync(folder);
  chmodSync(folder, 0o750);
  assert.throws(() => ensurePrivateFolder(folder), { code: 'home_insecure', hint: `Run: chmod 700 ${folder}` });
  assert.equal(mode(folder), 0o750);
  chmodSync(folder, 0o700);
  const file = path.join(folder, 'key');
  writeFileSync(file, 'secret', { mode: 0o600 });
  for (const loose of [0o640, 0o604, 0o610]) {
    chmodSync(file, loose);
    assert.throws(() => readPrivateFile(file), { code: 'home_insecure', hint: `Run: chmod 600 ${file}` });
  }
});

test('every file below a folder is looked at, however deep', (t) => {
  const folder = path.join(tempFolder(t), 'home');
  const deep = path.join(folder, 'spool', 'a');
  ensurePrivateFolder(deep);
  for (const file of ['key', 'spool/1.log', 'spool/a/2']) writeFileSync(path.join(folder, file), 'x', { mode: 0o600 });
  assertPrivateContents(folder);
  for (const [target, good] of [
    ['key', '600'],
    ['spool/a/2', '600'],
    ['spool/a', '700'],
  ] as const) {
    const file = path.join(folder, target);
    chmodSync(file, 0o755);
    assert.throws(() => assertPrivateContents(folder), { code: 'home_insecure', hint: `Run: chmod ${good} ${file}` });
    chmodSync(file, Number.parseInt(good, 8));
  }
});

test('a file that a library will fill is made private first, and one that is there stays', (t) => {
  const file = path.join(tempFolder(t), 'fleet.db');
  createPrivateFile(file);
  assert.equal(mode(file), 0o600);
  writeFileSync(file, 'x');
  createPrivateFile(file);
  assert.equal(readFileSync(file, 'utf8'), 'x');
});

test('a path that cannot be a folder says so', (t) => {
  const file = path.join(tempFolder(t), 'file');
  writeFileSync(file, '');
  assert.throws(() => ensurePrivateFolder(path.join(file, 'x')), { code: 'storage_failed' });
  assert.throws(() => readPrivateFile(path.join(file, 'x')), { code: 'storage_failed' });
});

test('a file is replaced as a whole, with mode 0600 whatever it had, and read back', (t) => {
  const folder = tempFolder(t);
  const file = path.join(folder, 'state.json');
  assert.equal(readPrivateFile(file), undefined);
  writeFileSync(file, 'old', { mode: 0o644 });
  writePrivateFile(file, 'new');
  assert.equal(readPrivateFile(file), 'new');
  assert.equal(mode(file), 0o600);
  assert.deepEqual(readdirSync(folder), ['state.json']);
});

test('a write that fails leaves the old text and no temporary file', (t) => {
  const folder = tempFolder(t);
  const target = path.join(folder, 'taken');
  mkdirSync(path.join(target, 'inside'), { recursive: true });
  assert.throws(() => writePrivateFile(target, 'text'), { code: 'storage_failed' });
  assert.deepEqual(readdirSync(folder), ['taken']);
  assert.throws(() => writePrivateFile(path.join(folder, 'missing', 'x'), 'text'), { code: 'storage_failed' });
});

test('on a disk that fills up in the middle, half a file is never taken for a whole one', (t) => {
  const folder = smallDisk(t, 64);
  // Elsewhere than on Linux as root there is no such disk; the kernel's own always-full device shows the same error.
  if (folder === undefined)
    return assert.throws(() => writePrivateFile('/dev/full/x', 'text'), { code: 'storage_failed' });
  const file = path.join(folder, 'state.json');
  writePrivateFile(file, 'old');
  assert.throws(() => writePrivateFile(file, 'x'.repeat(100 * 1024)), { code: 'storage_failed' });
  assert.equal(readFileSync(file, 'utf8'), 'old');
  assert.deepEqual(readdirSync(folder), ['state.json']);
  assert.ok(existsSync(file));
});

test('a new file is written once: who comes later changes nothing, and leaves nothing', (t) => {
  const folder = tempFolder(t);
  const file = path.join(folder, 'key');
  assert.equal(writeNewPrivateFile(file, 'first'), true);
  assert.equal(mode(file), 0o600);
  assert.equal(writeNewPrivateFile(file, 'second'), false);
  assert.equal(readPrivateFile(file), 'first');
  assert.deepEqual(readdirSync(folder), ['key']);
});

test('no command is suggested that would change a folder of somebody else', (t) => {
  const busy = tempFolder(t);
  mkdirSync(path.join(busy, 'documents'));
  chmodSync(busy, 0o755);
  const elsewhere = { code: 'home_insecure', hint: /^It contains files .* --home\.$/ };
  for (const folder of [busy, '/', '/usr', '/etc']) {
    if (statSync(folder).uid !== process.geteuid?.()) continue;
    assert.throws(() => ensurePrivateFolder(folder), elsewhere, folder);
  }
  const foreign = (folder: string) => () => assertOwner(folder, { uid: (process.geteuid?.() ?? 0) + 1 });
  for (const folder of [busy, '/', '/usr'])
    assert.throws(foreign(folder), { code: 'home_foreign', hint: /or choose another folder with --home\.$/ }, folder);
  // A home, and what lies in one.
  const home = path.join(busy, 'documents', 'a home');
  mkdirSync(path.join(home, 'gateway'), { recursive: true });
  writeFileSync(path.join(home, 'gateway', 'fleet.db'), '');
  for (const part of [home, path.join(home, 'gateway'), path.join(home, 'gateway', 'fleet.db')])
    assert.throws(
      foreign(part),
      ({ hint }: FleetError) => hint?.endsWith(` '${part}'`) === true && /chown -R/.test(hint),
    );
  chmodSync(home, 0o755);
  assert.throws(() => ensurePrivateFolder(home), { hint: `Run: chmod 700 '${home}'` });
});
