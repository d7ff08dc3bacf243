import assert from 'node:assert/strict';
import { test } from 'node:test';
import { formatBytes } from '../../../src/cli/output/figures.ts';

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
