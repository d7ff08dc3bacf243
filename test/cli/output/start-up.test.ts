import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { test } from 'node:test';

const SOURCE = join(import.meta.dirname, '../../../src');

/** Modules that `file` loads at start, itself included; packages and node: modules as they are named. */
function loadedAtStart(file: string, seen = new Set<string>()): Set<string> {
  if (seen.has(file)) return seen;
  seen.add(file);
  for (const [, name = ''] of readFileSync(file, 'utf8').matchAll(
    /^(?:import|export) (?!type )[^;]*?from '([^']+)'/gm,
  )) {
    if (name.startsWith('.')) loadedAtStart(join(dirname(file), name), seen);
    else seen.add(name);
  }
  return seen;
}

test('nothing heavy is loaded at start by what prints and selects', () => {
  const output = join(SOURCE, 'cli/output');
  const files = readdirSync(output).map((name) => join(output, name));
  const loaded = new Set<string>();
  for (const file of [...files, ...['domain/selector.ts', 'protocol/frames.ts'].map((name) => join(SOURCE, name))]) {
    loadedAtStart(file, loaded);
  }
  const foreign = [...loaded].filter((name) => !name.startsWith(SOURCE)).sort();
  assert.deepEqual(foreign, [
    'get-east-asian-width',
    'node:buffer',
    'node:events',
    'node:fs',
    'node:path',
    'node:util',
  ]);
});
