import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { compareNatural } from '../../src/domain/node-set.ts';

test('numbers count by value', () => {
  const sorted = ['db', 'node-1', 'node-02', 'node-2', 'node-10', 'node-10a', 'r1n2', 'r1n10', 'r2n1'];
  assert.deepEqual(sorted.toReversed().sort(compareNatural), sorted);
});

test('digits beyond what a double holds still count', () => {
  assert.ok(compareNatural('a99999999999999999998', 'a99999999999999999999') < 0);
});

test('it is a total order', () => {
  const name = fc.string({ unit: fc.constantFrom('a', 'b', '-', '0', '1', '9'), maxLength: 6 });
  fc.assert(
    fc.property(name, name, name, (a, b, c) => {
      assert.equal(Math.sign(compareNatural(a, b)), -Math.sign(compareNatural(b, a)) + 0);
      assert.equal(compareNatural(a, b) === 0, a === b);
      if (compareNatural(a, b) < 0 && compareNatural(b, c) < 0) assert.ok(compareNatural(a, c) < 0);
    }),
    { numRuns: 2_000 },
  );
});
