import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { decodeData, encodeData } from '../../src/protocol/frames.ts';

test('text stays text, other bytes become base64', () => {
  assert.deepEqual(encodeData(Buffer.from('größe\u0000\n')), { data: 'größe\u0000\n' });
  assert.deepEqual(encodeData(Buffer.from([0xff, 0x00])), { data: '/wA=', encoding: 'base64' });
  assert.deepEqual(encodeData(new Uint8Array(0)), { data: '' });
  assert.deepEqual(encodeData(Buffer.from('\ufeffx')), { data: '\ufeffx' });
});

test('any bytes survive JSON', () => {
  const bytes = fc.oneof(
    fc.uint8Array(),
    fc.string().map((text) => new Uint8Array(Buffer.from(text))),
  );
  fc.assert(
    fc.property(bytes, (original) => {
      const back = decodeData(JSON.parse(JSON.stringify(encodeData(original))));
      assert.deepEqual([...back], [...original]);
    }),
  );
});

test('a view into a larger buffer gives its own bytes only', () => {
  assert.deepEqual(encodeData(new Uint8Array(Buffer.from('abcdef')).subarray(2, 4)), { data: 'cd' });
});

test('what is not an encoding or not base64 is refused', () => {
  assert.throws(() => decodeData({ data: '', encoding: 'hex' }), { code: 'bad_request' });
  for (const data of ['a', 'YQ', 'YQ==\n', 'Y*Q=', 'YR==']) {
    assert.throws(() => decodeData({ data, encoding: 'base64' }), { code: 'bad_request' });
  }
});
