import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import {
  encodeFrame,
  FRAME_HEADER_BYTES,
  FRAME_TYPE,
  type Frame,
  FrameDecoder,
  MAX_FRAME_PAYLOAD_BYTES,
} from '../../src/protocol/frames.ts';

const frameArbitrary = fc.record(
  {
    type: fc.constantFrom(...Object.values(FRAME_TYPE)),
    payload: fc.uint8Array({ maxLength: 200 }).map((bytes) => Buffer.from(bytes)),
  },
  { noNullPrototype: true },
);

test('whatever the chunk borders, the same frames come out, and nothing is held back', () => {
  fc.assert(
    fc.property(fc.array(frameArbitrary), fc.array(fc.integer({ min: 1, max: 50 })), (frames, cuts) => {
      const bytes = Buffer.concat(frames.map(({ type, payload }) => encodeFrame(type, payload)));
      const decoder = new FrameDecoder();
      const decoded: Frame[] = [];
      let offset = 0;
      for (const length of [...cuts, bytes.length]) {
        decoded.push(...decoder.push(bytes.subarray(offset, offset + length)));
        offset += length;
      }
      assert.deepEqual(decoded, frames);
      assert.equal(decoder.pendingBytes, 0);
    }),
  );
});

test('an unfinished frame is held back to the byte', () => {
  const bytes = encodeFrame(FRAME_TYPE.stdout, Buffer.from('hello'));
  for (let cut = 0; cut < bytes.length; cut += 1) {
    const decoder = new FrameDecoder();
    assert.deepEqual(decoder.push(bytes.subarray(0, cut)), []);
    assert.equal(decoder.pendingBytes, cut);
    assert.equal(decoder.push(bytes.subarray(cut))[0]?.payload.toString(), 'hello');
  }
});

test('the largest payload passes, one byte more is refused on both ends', () => {
  const largest = Buffer.alloc(MAX_FRAME_PAYLOAD_BYTES);
  assert.equal(new FrameDecoder().push(encodeFrame(FRAME_TYPE.stderr, largest))[0]?.payload.length, largest.length);
  assert.throws(() => encodeFrame(FRAME_TYPE.stderr, Buffer.alloc(MAX_FRAME_PAYLOAD_BYTES + 1)), RangeError);
  const header = Buffer.alloc(FRAME_HEADER_BYTES);
  header.writeUInt8(FRAME_TYPE.stdout, 0);
  header.writeUInt32BE(MAX_FRAME_PAYLOAD_BYTES + 1, 1);
  assert.throws(() => new FrameDecoder().push(header), RangeError);
});

test('an unknown type is refused as soon as its header is there', () => {
  for (const type of [0, 6, 65, 255])
    assert.throws(() => new FrameDecoder().push(Buffer.from([type, 0, 0, 0, 9])), RangeError);
});
