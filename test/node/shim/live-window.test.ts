import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { FIRST_LEASE_MS, LiveWindow } from '../../../src/node/shim/live-window.ts';
import type { LivePiece } from '../../../src/node/shim/messages.ts';
import { FRAME_TYPE, FrameDecoder } from '../../../src/protocol/frames.ts';
import { FakeClock } from '../../support/fake-clock.ts';

const { stdout, stderr } = FRAME_TYPE;

function openWindow(position = 0) {
  const clock = new FakeClock();
  const rooms: number[] = [];
  const window = new LiveWindow({ clock, onRoom: () => rooms.push(window.unreadBytes) });
  assert.equal(window.open(position), true);
  return { clock, window, rooms };
}

function framesOf(piece: LivePiece): { type: number; text: string }[] {
  assert.ok(piece !== null && 'frames' in piece);
  const frames = new FrameDecoder().push(Buffer.from(piece.frames, 'base64'));
  return frames.map(({ type, payload }) => ({ type, text: payload.toString('latin1') }));
}

test('delivers output in order from any position it still has', async () => {
  const { window } = openWindow(100);
  const waiting = window.read(100);
  window.push(stdout, Buffer.from('abc'));
  assert.deepEqual(framesOf(await waiting), [{ type: stdout, text: 'abc' }]);
  window.push(stderr, Buffer.from('!'));
  window.push(stdout, Buffer.from('de'));
  assert.deepEqual(framesOf(await window.read(101)), [
    { type: stdout, text: 'bc' },
    { type: stderr, text: '!' },
    { type: stdout, text: 'de' },
  ]);
  assert.equal(await window.read(99), null, 'that was before');
  assert.equal(await window.read(107), null, 'that was never written');
});

test('completes once everything was read; a newer reader ends the wait of an older one', async () => {
  const { window } = openWindow();
  const older = window.read(0);
  const newer = window.read(0);
  assert.equal(await older, null);
  window.push(stdout, Buffer.from('x'));
  window.complete();
  assert.deepEqual(framesOf(await newer), [{ type: stdout, text: 'x' }]);
  assert.deepEqual(await window.read(1), { complete: true });
});

test('is full when its reader falls behind, and has room again once that has caught up', async () => {
  const { window, rooms } = openWindow();
  const chunk = Buffer.alloc(64 * 1024);
  while (!window.isFull) window.push(stdout, chunk);
  const written = window.unreadBytes;
  assert.deepEqual(rooms, []);
  for (let at = 0; at < written; ) {
    const piece = await window.read(at);
    assert.ok(piece !== null && 'next' in piece);
    at = piece.next;
  }
  assert.ok(rooms.length > 0 && rooms.every((unread) => unread <= written / 2));
  assert.ok((await window.read(0)) !== null, 'what was given out can be asked for again');
});

test('a reader that never comes, or is away too long, holds nothing up', async () => {
  const { clock, window } = openWindow();
  window.push(stdout, Buffer.alloc(4 * 1024 * 1024));
  await clock.advance(FIRST_LEASE_MS - 1);
  window.attend(5_000);
  await clock.advance(4_999);
  assert.equal(window.isFull, true);
  const settled = window.settled(10);
  await clock.advance(1);
  await settled;
  assert.deepEqual([window.isFull, window.hasRoom], [false, true]);
  assert.equal(await window.read(0), null);
  window.push(stdout, Buffer.from('x'));
  assert.equal(window.unreadBytes, 0);
  const late = new LiveWindow({ clock, onRoom: () => {} });
  late.attend(0);
  assert.equal(late.open(0), false);
});

test('for any writes and reads, from any position, the bytes are those that were written', async () => {
  const writes = fc.array(fc.tuple(fc.boolean(), fc.nat(200_000)), { maxLength: 40 });
  await fc.assert(
    fc.asyncProperty(writes, fc.array(fc.nat(300_000), { maxLength: 20 }), async (chunks, backs) => {
      const { window } = openWindow(7);
      const expected: Buffer[] = [];
      const got: Buffer[] = [];
      const steps = [...backs];
      let at = 7;
      let written = 7;
      const readAll = async (): Promise<void> => {
        while (at < written) {
          at = Math.max(7, at - Math.min(steps.pop() ?? 0, at - 7));
          const piece = await window.read(at);
          assert.ok(piece !== null && 'next' in piece);
          const bytes = Buffer.concat(
            new FrameDecoder()
              .push(Buffer.from(piece.frames, 'base64'))
              .map(({ type, payload }) => mark(type, payload)),
          );
          const before = Buffer.concat(got).subarray(0, at - 7);
          got.splice(0, got.length, before, bytes);
          at = piece.next;
        }
      };
      for (const [index, [toErr, size]] of chunks.entries()) {
        const type = toErr ? stderr : stdout;
        const chunk = Buffer.alloc(size, 2 * index);
        window.push(type, chunk);
        expected.push(mark(type, chunk));
        written += size;
        if (window.isFull) await readAll();
      }
      await readAll();
      assert.ok(Buffer.concat(got).equals(Buffer.concat(expected)));
    }),
    { numRuns: 30 },
  );
});

/** The bytes, with the stream in the lowest bit. */
function mark(type: number, payload: Buffer): Buffer {
  return Buffer.from(payload.map((byte) => (byte & 0xfe) | (type & 1)));
}
