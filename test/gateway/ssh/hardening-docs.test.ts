import assert from 'node:assert/strict';
import { existsSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { test } from 'node:test';

const ROOT = path.join(import.meta.dirname, '..', '..', '..');
const ROW = /^\| [^|]+ \| [^|]+ \| `([^`|]+)` \| `([^`|]+\.test\.ts)`: ([^|]+) \|$/gm;

test('every guard that docs/ssh-hardening.md tells of is in a file that exists, and has the test that it names', () => {
  const text = readFileSync(path.join(ROOT, 'docs', 'ssh-hardening.md'), 'utf8');
  const rows = [...text.matchAll(ROW)];
  const lines = text.split('\n').filter((line) => line.startsWith('| ') && !line.startsWith('| attack'));
  assert.equal(rows.length, lines.length, 'every row of the table can be read');
  assert.ok(rows.length > 20);
  for (const [, file = '', testFile = '', name = ''] of rows) {
    assert.ok(existsSync(path.join(ROOT, file)), file);
    assert.ok(readFileSync(path.join(ROOT, testFile), 'utf8').includes(name), `${testFile}: ${name}`);
  }
});
