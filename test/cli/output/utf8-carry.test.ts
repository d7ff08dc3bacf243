import assert from 'node:assert/strict';
import { isUtf8 } from 'node:buffer';
import { test } from 'node:test';
import fc from 'fast-check';
import { Utf8Carry } from '../../../src/cli/output/job-output.ts';

function cut(bytes: Buffer, sizes: number[]): Buffer[] {
  const chunks: Buffer[] = [];
  let at = 0;
  for (const size of sizes) {
    chunks.push(bytes.subarray(at, at + size));
    at += size;
  }
  return [...chunks, bytes.subarray(at)];
}

const sizes = fc.array(fc.integer({ min: 0, max: 5 }), { maxLength: 40 });

test('text stays text, however it is cut', () => {
  fc.assert(
    fc.property(fc.string({ unit: 'binary', maxLength: 40 }), sizes, (text, borders) => {
      const bytes = Buffer.from(text);
      const carry = new Utf8Carry();
      const parts = cut(bytes, borders).map((chunk) => carry.push(chunk));
      assert.ok(parts.every((part) => isUtf8(part)));
      assert.equal(carry.flush().length, 0);
      assert.deepEqual(Buffer.concat(parts), bytes);
    }),
    { numRuns: 1_000 },
  );
});

test('any bytes come out again, and at most three are held back', () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 60 }), sizes, (original, borders) => {
      const bytes = Buffer.from(original);
      const carry = new Utf8Carry();
      let into = 0;
      let out = 0;
      const parts = cut(bytes, borders).map((chunk) => {
        const part = carry.push(chunk);
        into += chunk.length;
        out += part.length;
        assert.ok(into - out <= 3);
        return part;
      });
      assert.deepEqual(Buffer.concat([...parts, carry.flush()]), bytes);
      assert.equal(carry.flush().length, 0);
    }),
    { numRuns: 1_000 },
  );
});

test('only an unfinished character waits', () => {
  const carry = new Utf8Carry();
  assert.deepEqual(carry.push(Buffer.from([0x61, 0xe2, 0x82])), Buffer.from('a'));
  assert.deepEqual(carry.push(Buffer.from([0xac])), Buffer.from('€'));
  assert.deepEqual(carry.push(Buffer.from([0xff])), Buffer.from([0xff]));
  assert.deepEqual(carry.push(Buffer.from([0x80, 0x80])), Buffer.from([0x80, 0x80]));
});
