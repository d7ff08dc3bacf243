import assert from 'node:assert/strict';
import { Readable } from 'node:stream';
import { test } from 'node:test';
import fc from 'fast-check';
import { readEvents } from '../../src/client/read-events.ts';
import type { JobEvent } from '../../src/protocol/job-messages.ts';
import { FakeClock } from '../support/fake-clock.ts';
import { dataEvent } from './fake-gateway.ts';

async function read(chunks: Iterable<Buffer>): Promise<JobEvent[]> {
  const events: JobEvent[] = [];
  for await (const event of readEvents(Readable.from(chunks, { objectMode: true }), new FakeClock()))
    events.push(event);
  return events;
}

test('reads the same events wherever the chunks are cut', async () => {
  const property = fc.asyncProperty(
    fc.array(fc.string({ unit: 'grapheme' }), { maxLength: 8 }),
    fc.array(fc.nat(), { maxLength: 12 }),
    async (texts, cuts) => {
      const events = texts.map((text, index) => dataEvent('stdout', text, index));
      const bytes = Buffer.from(events.map((event) => `${JSON.stringify(event)}\n`).join(''));
      const places = [0, ...cuts.map((cut) => cut % (bytes.length + 1)).sort((a, b) => a - b), bytes.length];
      const chunks = places.slice(1).map((end, index) => bytes.subarray(places[index], end));
      assert.deepEqual(await read(chunks.filter((chunk) => chunk.length > 0)), events);
    },
  );
  await fc.assert(property, { numRuns: 200 });
});

test('what is no object with a type is refused', async () => {
  for (const line of ['{', '1', 'null', '[]', '{"data":1}', '']) {
    await assert.rejects(read([Buffer.from(`${line}\n`)]), { code: 'internal' }, line);
  }
});

test('leaves no timer behind', async () => {
  const clock = new FakeClock();
  for await (const event of readEvents(Readable.from([Buffer.from('{"type":"ping"}\n')]), clock)) {
    assert.equal(event.type, 'ping');
  }
  assert.equal(clock.pendingTimers, 0);
});
