import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { describeBadByte, escapeBytes } from '../../src/shared/text.ts';

test('the first byte that is not UTF-8 is named by its value and its place', () => {
  const table: [string, string | undefined][] = [
    ['', undefined],
    ['caf\xc3\xa9', undefined],
    ['\xef\xbf\xbd', undefined],
    ['caf\xe9', '\\xe9 at byte 4'],
    ['\xff', '\\xff at byte 1'],
    ['\xc3\xa9\x80', '\\x80 at byte 3'],
    ['a\xef\xbf', '\\xef at byte 2'],
    ['\xed\xa0\x80', '\\xed at byte 1'],
    ['\xc0\xaf', '\\xc0 at byte 1'],
    ['\xf4\x90\x80\x80', '\\xf4 at byte 1'],
  ];
  for (const [bytes, expected] of table) assert.equal(describeBadByte(Buffer.from(bytes, 'latin1')), expected, bytes);
});

test('text stays as it is, other bytes are escaped', () => {
  const table: [string, string][] = [
    ['caf\xe9 bar', 'caf\\xe9 bar'],
    ['\xc3\xa9\xe9', 'é\\xe9'],
    ['a\\b', 'a\\b'],
    ['caf\\xe9', 'caf\\x5cxe9'],
    ['\xef\xbf\xbd', '\ufffd'],
  ];
  for (const [bytes, expected] of table) assert.equal(escapeBytes(Buffer.from(bytes, 'latin1')), expected, bytes);
});

test('different bytes are never shown alike, and no U+FFFD is made up', () => {
  const byte = fc.constantFrom(0x5c, 0x78, 0x65, 0x39, 0xe9, 0xc3, 0xa9, 0x41, 0xff);
  const bytes = fc.array(byte, { maxLength: 9 }).map((values) => Buffer.from(values));
  const parse = (text: string): Buffer =>
    Buffer.concat(
      text
        .split(/(\\x[0-9a-f]{2})/)
        .map((part, index) => (index % 2 === 1 ? Buffer.from(part.slice(2), 'hex') : Buffer.from(part))),
    );
  fc.assert(
    fc.property(bytes, (given) => {
      const text = escapeBytes(given);
      assert.ok(!text.includes('\ufffd'));
      assert.deepEqual(parse(text), given);
    }),
    { numRuns: 2000 },
  );
});
