import assert from 'node:assert/strict';
import { readdir, readFile } from 'node:fs/promises';
import path from 'node:path';
import { Readable } from 'node:stream';
import { test } from 'node:test';
import { writeAtomically } from '../../src/shared/write-file.ts';
import { tempFolder } from '../support/temp-folder.ts';

test('several who write one file at once all do, and it is whole', async (t) => {
  const folder = tempFolder(t);
  const file = path.join(folder, 'report.html');
  const texts = ['a', 'b', 'c'].map((letter) => letter.repeat(300_000));
  await Promise.all(texts.map((text) => writeAtomically(file, Readable.from([text]))));
  assert.ok(texts.includes(await readFile(file, 'utf8')));
  assert.deepEqual(await readdir(folder), ['report.html']);
});
