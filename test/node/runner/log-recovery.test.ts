import assert from 'node:assert/strict';
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import fc from 'fast-check';
import { recoverLog } from '../../../src/node/runner/run-log.ts';
import { encodeFrame, FRAME_TYPE } from '../../../src/protocol/frames.ts';
import { temporaryFolder } from './support/harness.ts';

const frame = fc
  .tuple(
    fc.constantFrom(FRAME_TYPE.stdout, FRAME_TYPE.stderr, FRAME_TYPE.started),
    fc.oneof(
      { weight: 9, arbitrary: fc.nat({ max: 40 }) },
      { weight: 1, arbitrary: fc.constantFrom(70_000, 256 * 1024) },
    ),
  )
  .map(([type, length]) => ({ type, bytes: encodeFrame(type, Buffer.alloc(length, 0xff)) }));

test('wherever a log was cut, what is left are its whole frames', async (t) => {
  const path = join(await temporaryFolder(t), 'log');
  await fc.assert(
    fc.asyncProperty(
      fc.array(frame, { maxLength: 30 }),
      fc.double({ min: 0, max: 1, noNaN: true }),
      async (frames, part) => {
        const whole = Buffer.concat(frames.map(({ bytes }) => bytes));
        const cut = Math.floor(whole.length * part);
        let expected = 0;
        const payload = { [FRAME_TYPE.stdout]: 0, [FRAME_TYPE.stderr]: 0, [FRAME_TYPE.started]: 0 };
        for (const { type, bytes } of frames) {
          if (expected + bytes.length > cut) break;
          expected += bytes.length;
          payload[type] += bytes.length - 5;
        }
        await writeFile(path, whole.subarray(0, cut));
        const log = await recoverLog(path);
        assert.deepEqual(log, {
          bytes: expected,
          stdoutBytes: payload[FRAME_TYPE.stdout],
          stderrBytes: payload[FRAME_TYPE.stderr],
          gaps: { stdoutBytes: 0, stderrBytes: 0 },
          ended: false,
        });
        assert.ok((await readFile(path)).equals(whole.subarray(0, expected)));
      },
    ),
    { numRuns: 150 },
  );
});

test('garbage at the end is cut off, also behind an end frame; nothing follows an end', async (t) => {
  const path = join(await temporaryFolder(t), 'log');
  const good = Buffer.concat([
    encodeFrame(FRAME_TYPE.stdout, Buffer.from('x')),
    encodeFrame(FRAME_TYPE.gap, Buffer.from('{"stdoutBytes":2,"stderrBytes":70}')),
    encodeFrame(FRAME_TYPE.gap, Buffer.from('{"stdoutBytes":3,"stderrBytes":0}')),
    encodeFrame(FRAME_TYPE.end, Buffer.from('{}')),
  ]);
  await fc.assert(
    fc.asyncProperty(fc.uint8Array({ maxLength: 50 }), async (garbage) => {
      await writeFile(path, Buffer.concat([good, garbage]));
      const gaps = { stdoutBytes: 5, stderrBytes: 70 };
      assert.deepEqual(await recoverLog(path), {
        bytes: good.length,
        stdoutBytes: 1,
        stderrBytes: 0,
        gaps,
        ended: true,
      });
      assert.ok((await readFile(path)).equals(good));
    }),
  );
  // What a power cut leaves: a file that has its length, but not its bytes.
  await writeFile(path, Buffer.concat([good.subarray(0, 6), Buffer.alloc(5000)]));
  assert.equal((await recoverLog(path)).bytes, 6);
  await writeFile(path, Buffer.concat([good.subarray(0, 6), encodeFrame(FRAME_TYPE.gap, Buffer.from('{"std'))]));
  assert.equal((await recoverLog(path)).bytes, 6);
  assert.equal((await recoverLog(join(path, '..', 'missing'))).bytes, 0);
});
