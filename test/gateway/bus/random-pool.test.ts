import assert from 'node:assert/strict';
import { test } from 'node:test';
import { pooledRandomBytes } from '../../../src/gateway/bus/store-job.ts';

test('bytes are random, of the size asked for, and never given out twice', () => {
  const seen = new Set<string>();
  for (let index = 0; index < 2_000; index += 1) {
    const size = 8 + (index % 9);
    const bytes = pooledRandomBytes(size);
    assert.equal(bytes.length, size);
    seen.add(Buffer.from(bytes.subarray(0, 8)).toString('hex'));
  }
  assert.equal(seen.size, 2_000);
});

test('what was given out stays as it is when the pool is filled anew', () => {
  const first = pooledRandomBytes(16);
  const copy = Buffer.from(first);
  for (let index = 0; index < 600; index += 1) pooledRandomBytes(16);
  assert.deepEqual(Buffer.from(first), copy);
});
