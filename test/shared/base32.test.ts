import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { test } from 'node:test';
import fc from 'fast-check';
import { normalizeBase32, randomBase32 } from '../../src/shared/base32.ts';

test('every character of the alphabet comes from exactly eight bytes', () => {
  const all = Uint8Array.from({ length: 256 }, (_, byte) => byte);
  const counts = new Map<string, number>();
  for (const character of randomBase32(256, () => all)) counts.set(character, (counts.get(character) ?? 0) + 1);
  assert.equal(counts.size, 32);
  assert.deepEqual(new Set(counts.values()), new Set([8]));
});

test('a code survives a person: case, dashes, spaces, o for 0, i and l for 1', () => {
  assert.equal(normalizeBase32(' 7K3F-9m2q x0zt '), '7k3f9m2qx0zt');
  assert.equal(normalizeBase32('oOiIlL'), '001111');
  fc.assert(
    fc.property(fc.integer({ min: 1, max: 40 }), (length) => {
      const code = randomBase32(length, randomBytes);
      assert.equal(normalizeBase32(code.toUpperCase().split('').join('-')), code);
    }),
  );
});

test('foreign characters are refused', () => {
  for (const text of ['u', '7k3f!', 'ü', '7k3f_9m2q', 'İ']) assert.equal(normalizeBase32(text), undefined, text);
});
