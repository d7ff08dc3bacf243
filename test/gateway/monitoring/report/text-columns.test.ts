import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { columnsOf, fit, wrap } from '../../../../src/gateway/monitoring/report/text-columns.ts';

test('wide characters take two columns, combining marks none', () => {
  assert.equal(columnsOf('node'), 4);
  assert.equal(columnsOf('節点'), 4);
  assert.equal(columnsOf('e\u0301'), 1);
  assert.equal(columnsOf('🚀'), 2);
});

test('fits exactly, cut or padded', () => {
  assert.equal(fit('abc', 5), 'abc  ');
  assert.equal(fit('abc', 5, 'right'), '  abc');
  assert.equal(fit('abcdef', 5), 'abcd…');
  assert.equal(fit('節点節', 5), '節点…');
});

test('wraps at blanks and breaks what is too long', () => {
  assert.deepEqual(wrap('one two three', 7), ['one two', 'three']);
  assert.deepEqual(wrap('abcdefghij', 4), ['abcd', 'efgh', 'ij']);
  assert.deepEqual(wrap('one two', 6, { first: '- ', rest: '  ' }), ['- one', '  two']);
});

test('any text fits, and loses nothing but blanks when wrapped', () => {
  const text = fc.string({ unit: 'grapheme' }).map((raw) => raw.replace(/[\p{Cc}\p{Zl}\p{Zp}]/gu, ''));
  fc.assert(
    fc.property(text, fc.integer({ min: 3, max: 40 }), (some, width) => {
      assert.equal(columnsOf(fit(some, width)), width);
      const lines = wrap(some, width);
      for (const line of lines) assert.ok(columnsOf(line) <= width);
      assert.equal(lines.join('').replaceAll(' ', ''), some.replaceAll(' ', ''));
    }),
  );
});
