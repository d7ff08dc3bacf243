import assert from 'node:assert/strict';
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import fc from 'fast-check';
import { FolderOutput, safeFileName } from '../../../src/cli/output/job-output.ts';
import type { JobEvent } from '../../../src/protocol/job-messages.ts';

function temporaryFolder(context: TestContext): string {
  const folder = mkdtempSync(join(tmpdir(), 'fleet-outdir-'));
  context.after(() => rmSync(folder, { recursive: true, force: true }));
  return folder;
}

function opened(path: string): FolderOutput {
  const directory = new FolderOutput(path);
  directory.open();
  return directory;
}

function write(directory: FolderOutput, node: string, type: 'stdout' | 'stderr', bytes: Buffer): void {
  directory.handle({ type, run: 'j.0', index: 0, node, next: 0, data: bytes.toString('base64'), encoding: 'base64' });
}

function finish(directory: FolderOutput, node: string): void {
  directory.handle({ type: 'end', node } as JobEvent);
}

test('every node has its bytes in files of its own; .err only when there is some', (context) => {
  const folder = join(temporaryFolder(context), 'new', 'folder');
  const directory = opened(folder);
  write(directory, 'n1', 'stdout', Buffer.from('a'));
  write(directory, 'n2', 'stderr', Buffer.from([0, 255]));
  write(directory, 'n1', 'stdout', Buffer.from('b\n'));
  for (const node of ['n1', 'n2', 'n3']) finish(directory, node);
  assert.deepEqual(readdirSync(folder).sort(), ['n1.out', 'n2.err', 'n2.out', 'n3.out']);
  assert.equal(readFileSync(join(folder, 'n1.out'), 'utf8'), 'ab\n');
  assert.deepEqual(readFileSync(join(folder, 'n2.err')), Buffer.from([0, 255]));
  assert.equal(readFileSync(join(folder, 'n3.out')).length, 0);
});

test('what an earlier broadcast left is replaced, and files of others stay', (context) => {
  const folder = temporaryFolder(context);
  for (const name of ['n1.out', 'n1.err', 'notes.txt']) writeFileSync(join(folder, name), 'old');
  const directory = opened(folder);
  write(directory, 'n1', 'stdout', Buffer.from('new'));
  finish(directory, 'n1');
  assert.deepEqual(readdirSync(folder).sort(), ['n1.out', 'notes.txt']);
  assert.equal(readFileSync(join(folder, 'n1.out'), 'utf8'), 'new');
});

test('no name leads out of the folder', (context) => {
  const parent = temporaryFolder(context);
  const folder = join(parent, 'out');
  const directory = opened(folder);
  const names = ['../evil', '..', '.', '/etc/evil', 'a/b', 'a\\b', 'a\u0000b', '-rf', '', '%', 'ü'];
  for (const name of names) write(directory, name, 'stdout', Buffer.from(name));
  assert.deepEqual(readdirSync(parent), ['out']);
  assert.equal(readdirSync(folder).length, names.length);
});

test('names are one to one, and harmless', () => {
  const name = fc.string({ unit: fc.constantFrom('a', '.', '/', '%', '-', '2', 'E', '\u0000', 'ü'), maxLength: 5 });
  fc.assert(
    fc.property(name, name, (a, b) => {
      assert.match(safeFileName(a), /^[A-Za-z0-9_%][A-Za-z0-9._%-]*$/);
      assert.equal(safeFileName(a) === safeFileName(b), a === b);
    }),
    { numRuns: 2_000 },
  );
  assert.equal(safeFileName('web-1.eu_2'), 'web-1.eu_2');
});

test('a folder that cannot be made or written is storage_failed', (context) => {
  const folder = temporaryFolder(context);
  writeFileSync(join(folder, 'file'), '');
  assert.throws(() => opened(join(folder, 'file')), { code: 'storage_failed' });
  assert.throws(() => opened(join(folder, 'file', 'below')), { code: 'storage_failed' });
  const directory = opened(join(folder, 'out'));
  rmSync(join(folder, 'out'), { recursive: true });
  assert.throws(() => write(directory, 'n1', 'stdout', Buffer.from('a')), { code: 'storage_failed' });
  assert.throws(() => finish(directory, 'n1'), { code: 'storage_failed' });
});
