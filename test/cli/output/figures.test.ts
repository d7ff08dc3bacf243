import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { formatBytes, sparkline } from '../../../src/cli/output/print.ts';

const SIZES: [number, string][] = [
  [0, '0 B'],
  [1023, '1023 B'],
  [1024, '1 KiB'],
  [1536, '1.5 KiB'],
  [1.5 * 1024 ** 3, '1.5 GiB'],
  [120.4 * 1024 ** 2, '120 MiB'],
  [1024 ** 2 - 1, '1 MiB'],
  [2 * 1024 ** 4, '2 TiB'],
  [5000 * 1024 ** 6, '5000 EiB'],
];

for (const [bytes, text] of SIZES) {
  test(`${bytes} bytes are ${text}`, () => assert.equal(formatBytes(bytes), text));
}

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
