import assert from 'node:assert/strict';
import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import fc from 'fast-check';
import { maxLogBytes } from '../../../src/domain/limits.ts';
import type { OutputType } from '../../../src/node/shim/messages.ts';
import { OutputTail } from '../../../src/node/shim/output-tail.ts';
import { FRAME_TYPE, FrameDecoder } from '../../../src/protocol/frames.ts';
import { temporaryFolder } from './support/harness.ts';

type Chunk = readonly [OutputType, number];

/** Output whose every byte tells where it stood. */
function write(tail: OutputTail, chunks: readonly Chunk[]): { type: OutputType; byte: number }[] {
  const written: { type: OutputType; byte: number }[] = [];
  for (const [type, length] of chunks) {
    const chunk = Buffer.from(Array.from({ length }, (_, n) => (written.length + n) % 251));
    for (const byte of chunk) written.push({ type, byte });
    tail.push(type, chunk);
  }
  return written;
}

async function drain(tail: OutputTail) {
  const bytes: { type: number; byte: number }[] = [];
  let frameBytes = 0;
  let counted = 0;
  for await (const { frames, stdoutBytes, stderrBytes } of tail.drain()) {
    frameBytes += frames.length;
    counted += stdoutBytes + stderrBytes;
    for (const { type, payload } of new FrameDecoder().push(frames)) {
      for (const byte of payload) bytes.push({ type, byte });
    }
  }
  return { bytes, frameBytes, counted };
}

const chunk = fc.tuple(
  fc.constantFrom<OutputType>(FRAME_TYPE.stdout, FRAME_TYPE.stderr),
  fc.oneof(fc.nat({ max: 20 }), fc.constantFrom(1, 4096, 65_531, 65_536, 70_000)),
);

test('exactly the last bytes are kept, in the order of both streams, whatever the chunks', async (t) => {
  const path = join(await temporaryFolder(t), 'ring');
  await fc.assert(
    fc.asyncProperty(
      fc.array(chunk, { maxLength: 12 }),
      fc.constantFrom(0, 1, 7, 1000, 65_536, 200_000),
      async (chunks, maxBytes) => {
        const tail = new OutputTail({ path, maxBytes, onWritten: () => {} });
        const written = write(tail, chunks);
        const { bytes, counted } = await drain(tail);
        const expected = maxBytes === 0 ? [] : written.slice(-maxBytes);
        assert.deepEqual([bytes.length, counted], [expected.length, expected.length]);
        const differs = bytes.findIndex(
          ({ type, byte }, n) => type !== expected[n]?.type || byte !== expected[n]?.byte,
        );
        assert.equal(differs, -1);
        await tail.close();
      },
    ),
    { numRuns: 60 },
  );
});

test('a tail too large for memory goes into a file without a name, and comes back the same', async (t) => {
  const folder = await temporaryFolder(t);
  const maxBytes = 700_000;
  const tail = new OutputTail({ path: join(folder, 'ring'), maxBytes, onWritten: () => {} });
  const chunks = Array.from(
    { length: 60 },
    (_, n): Chunk => [n % 3 === 0 ? FRAME_TYPE.stderr : FRAME_TYPE.stdout, 50_000],
  );
  const written = write(tail, chunks);
  await tail.flush();
  assert.deepEqual(await readdir(folder), []);
  const { bytes } = await drain(tail);
  assert.deepEqual(bytes, written.slice(-maxBytes));
  await tail.close();
});

test('streams that alternate byte by byte take no more room than the gateway allows', async (t) => {
  const maxBytes = 300_000;
  const tail = new OutputTail({ path: join(await temporaryFolder(t), 'ring'), maxBytes, onWritten: () => {} });
  for (let n = 0; n < 400_000; n += 1) tail.push(n % 2 === 0 ? FRAME_TYPE.stdout : FRAME_TYPE.stderr, Buffer.from('x'));
  const { bytes, frameBytes, counted } = await drain(tail);
  assert.ok(frameBytes <= maxLogBytes(maxBytes), `${frameBytes} bytes`);
  assert.ok(counted > 50_000 && counted === bytes.length);
});

test('a disk that takes nothing loses the tail, and says so', async (t) => {
  const path = join(await temporaryFolder(t), 'missing', 'ring');
  const tail = new OutputTail({ path, maxBytes: 1_000_000, onWritten: () => {} });
  write(tail, [[FRAME_TYPE.stdout, 200_000]]);
  await tail.flush();
  tail.push(FRAME_TYPE.stdout, Buffer.from('more'));
  assert.match(String(tail.error), /ENOENT/);
  assert.deepEqual([tail.counts.stdoutBytes, (await drain(tail)).counted], [0, 0]);
});
