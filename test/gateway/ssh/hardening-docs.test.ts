import assert from 'node:assert/strict';
import { existsSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { test } from 'node:test';

const ROOT = path.join(import.meta.dirname, '..', '..', '..');
const ROW = /^\| [^|]+ \| [^|]+ \| `([^`|]+)` \| `([^`|]+\.test\.ts)`: ([^|]+) \|$/gm;

for (const page of ['ssh-hardening.md', 'ssh2-patches.md'])
  test(`every guard in docs/${page} is in an existing file, and has the test that is named`, () => {
    const text = readFileSync(path.join(ROOT, 'docs', page), 'utf8');
    const rows = [...text.matchAll(ROW)];
    const table = text.slice(text.indexOf('| file | test |'));
    const lines = table.split('\n').filter((line) => line.startsWith('| '));
    assert.equal(rows.length, lines.length - 1, 'every row of the table can be read');
    assert.ok(rows.length > 15);
    for (const [, file = '', testFile = '', name = ''] of rows) {
      assert.ok(existsSync(path.join(ROOT, file)), file);
      assert.ok(readFileSync(path.join(ROOT, testFile), 'utf8').includes(name), `${testFile}: ${name}`);
    }
  });
