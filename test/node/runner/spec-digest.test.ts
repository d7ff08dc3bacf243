import assert from 'node:assert/strict';
import { test } from 'node:test';
import { specDigest } from '../../../src/node/runner/journal-row.ts';
import { makeSpec } from './support/harness.ts';

test('the order of keys does not matter, everything else does', () => {
  const spec = makeSpec('true', { env: { A: '1', B: '2' } });
  const { run, ...rest } = spec;
  const reordered = { ...rest, env: { B: '2', A: '1' }, run };
  assert.notEqual(JSON.stringify(reordered), JSON.stringify(spec));
  assert.equal(specDigest(reordered), specDigest(spec));
  for (const changes of [
    { command: 'false' },
    { env: { A: '1', B: '3' } },
    { stdin: true },
    { timeoutMs: 1 },
    { user: 'x' },
  ]) {
    assert.notEqual(specDigest({ ...spec, ...changes }), specDigest(spec));
  }
});
