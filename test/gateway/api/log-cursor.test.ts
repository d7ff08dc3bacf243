import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { test } from 'node:test';
import fc from 'fast-check';
import { LogCursor, type LogPiece, PIECE_BYTES } from '../../../src/gateway/api/job-stream.ts';
import type { Store } from '../../../src/gateway/store.ts';
import { encodeData, encodeFrame, FRAME_TYPE } from '../../../src/protocol/frames.ts';

const RUN = { seq: 1, id: 'j.0' };

/** What the store holds: chunks of whole frames. */
function storeOf(...chunks: Buffer[][]) {
  let offset = 0;
  const stored = chunks.map((frames) => {
    const bytes = Buffer.concat(frames);
    offset += bytes.length;
    return { at: offset - bytes.length, bytes };
  });
  const reads: number[] = [];
  const holding = (at: number) => stored.findLast((chunk) => chunk.at <= at);
  const runs = {
    chunkStart: (_seq: number, at: number) => holding(at)?.at ?? null,
    readLog: (_seq: number, at: number) => {
      const chunk = holding(at);
      const bytes = chunk === undefined ? Buffer.alloc(0) : chunk.bytes.subarray(at - chunk.at);
      reads.push(bytes.length);
      return bytes;
    },
  } as unknown as Store['runs'];
  return { runs, bytes: offset, reads };
}

function readAll(cursor: LogCursor, logBytes: number, release = false): LogPiece[] {
  const pieces: LogPiece[] = [];
  for (let piece = cursor.read(logBytes); piece !== undefined; piece = cursor.read(logBytes)) {
    pieces.push(piece);
    if (release) cursor.release();
  }
  return pieces;
}

const frame = (length: number, type: keyof typeof FRAME_TYPE = 'stdout') =>
  encodeFrame(FRAME_TYPE[type], randomBytes(length));
const join = (pieces: readonly LogPiece[]): Buffer => Buffer.concat(pieces.map(({ payload }) => payload));

test('a log comes whole, in small pieces, whoever lets go of what was read, and from every place that was named', () => {
  const lengths = fc.array(
    fc.array(
      fc.oneof(fc.integer({ min: 0, max: 40 }), fc.integer({ min: PIECE_BYTES - 2, max: 3 * PIECE_BYTES + 2 })),
      {
        minLength: 1,
        maxLength: 4,
      },
    ),
    { maxLength: 4 },
  );
  fc.assert(
    fc.property(lengths, fc.boolean(), (shape, release) => {
      const store = storeOf(...shape.map((frames) => frames.map((length) => frame(length))));
      const pieces = readAll(new LogCursor(store.runs, RUN, 0), store.bytes, release);
      const whole = join(readAll(new LogCursor(store.runs, RUN, 0), store.bytes));
      assert.ok(join(pieces).equals(whole));
      assert.equal(pieces.at(-1)?.next ?? 0, store.bytes);
      for (const [index, { payload, next }] of pieces.entries()) {
        assert.ok(payload.length <= PIECE_BYTES);
        const rest = join(readAll(new LogCursor(store.runs, RUN, next), store.bytes, release));
        assert.ok(rest.equals(join(pieces.slice(index + 1))), `from ${next}`);
      }
    }),
    { numRuns: 60 },
  );
});

test('any other place is refused: in a header, in a short frame, between two pieces', () => {
  const output = (length: number) => encodeFrame(FRAME_TYPE.stdout, Buffer.alloc(length, 'x'));
  const store = storeOf([output(10), output(2 * PIECE_BYTES)], [frame(PIECE_BYTES, 'started')]);
  const named = new Set([0, ...readAll(new LogCursor(store.runs, RUN, 0), store.bytes).map(({ next }) => next)]);
  const begin = 15 + 5 + PIECE_BYTES;
  assert.ok(named.has(begin));
  const near = [1, 4, 5, 6, 14, 16, 20, 21, begin - 1, begin + 1, begin + PIECE_BYTES + 5, begin + PIECE_BYTES + 100];
  for (const offset of near.filter((offset) => !named.has(offset))) {
    assert.throws(() => new LogCursor(store.runs, RUN, offset).read(store.bytes), { code: 'bad_request' }, `${offset}`);
  }
});

test('a piece of text ends with a whole character, so that it stays text', () => {
  const text = 'aä€😀'.repeat(20_000);
  const store = storeOf([encodeFrame(FRAME_TYPE.stderr, Buffer.from(text))]);
  const pieces = readAll(new LogCursor(store.runs, RUN, 0), store.bytes);
  assert.ok(pieces.length > 3);
  const data = pieces.map(({ payload }) => encodeData(payload));
  assert.ok(data.every((piece) => !('encoding' in piece)));
  assert.equal(data.map((piece) => piece.data).join(''), text);
});

test('what is told in JSON is never cut', () => {
  const store = storeOf([frame(3 * PIECE_BYTES, 'gap')]);
  assert.deepEqual(
    readAll(new LogCursor(store.runs, RUN, 0), store.bytes).map(({ payload }) => payload.length),
    [3 * PIECE_BYTES],
  );
});
