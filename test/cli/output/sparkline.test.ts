import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { sparkline } from '../../../src/cli/output/figures.ts';

test('from least to most, and a blank for what is not known', () => {
  assert.equal(sparkline([0, 12.4, 50, null, 99, 100, 250], 100), '▁▁▅ ███');
  assert.equal(sparkline([0, 5], 0), '▁▁');
  const far = Number.POSITIVE_INFINITY;
  assert.equal(sparkline([-far, 1, far], far), '▁▁█');
});

test('one character a value, and more is never lower', () => {
  fc.assert(
    fc.property(fc.array(fc.double({ noNaN: true })), fc.double({ min: 0, noNaN: true }), (values, most) => {
      const text = sparkline(values, most);
      assert.equal([...text].length, values.length);
      const sorted = sparkline(
        [...values].sort((a, b) => a - b),
        most,
      );
      assert.equal(sorted, [...text].sort().join(''));
    }),
  );
});
