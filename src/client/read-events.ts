/** Reads a stream of NDJSON events and notices when it went silent: a dead gateway must not look like a quiet job. */
import type { Readable } from 'node:stream';
import type { JobEvent } from '../protocol/job-messages.ts';
import type { Clock } from '../shared/clock.ts';
import { FleetError } from '../shared/errors.ts';

/** The gateway says `ping` every 10 s; after three of them were missed it is taken for dead, ms. */
export const SILENCE_DEADLINE_MS = 35_000;
/** Longest line: 256 KiB of output as base64 and what stands around it, with room to grow; characters. */
const MAX_LINE_LENGTH = 4 * 1024 * 1024;

/**
 * Every event, as the gateway sent it. Ends with the stream; the caller knows which event must be the last.
 * @throws FleetError `timeout` after {@link SILENCE_DEADLINE_MS} without a byte; `internal` on what is no event; what the stream throws.
 */
export async function* readEvents(stream: Readable, clock: Clock): AsyncGenerator<JobEvent> {
  const decoder = new TextDecoder();
  let pending = '';
  for await (const chunk of withDeadline(stream, clock)) {
    pending += decoder.decode(chunk, { stream: true });
    let start = 0;
    for (let end = pending.indexOf('\n'); end >= 0; end = pending.indexOf('\n', start)) {
      yield parseEvent(pending.slice(start, end));
      start = end + 1;
    }
    pending = pending.slice(start);
    if (pending.length > MAX_LINE_LENGTH) throw notAnEvent();
  }
}

/** The deadline counts only while this waits for the stream, not while the consumer is busy. */
async function* withDeadline(stream: Readable, clock: Clock): AsyncGenerator<Buffer> {
  const chunks = stream[Symbol.asyncIterator]() as AsyncIterator<Buffer>;
  try {
    for (;;) {
      const timer = clock.after(SILENCE_DEADLINE_MS, () => {
        stream.destroy(new FleetError('timeout', `the gateway said nothing for ${SILENCE_DEADLINE_MS / 1000} s`));
      });
      let next: IteratorResult<Buffer>;
      try {
        next = await chunks.next();
      } finally {
        timer.cancel();
      }
      if (next.done) return;
      yield next.value;
    }
  } finally {
    stream.destroy();
  }
}

function parseEvent(line: string): JobEvent {
  let event: unknown;
  try {
    event = JSON.parse(line);
  } catch (error) {
    throw notAnEvent(error);
  }
  if (typeof event !== 'object' || event === null || !('type' in event)) throw notAnEvent();
  return event as JobEvent;
}

function notAnEvent(cause?: unknown): FleetError {
  return new FleetError('internal', 'the gateway sent something that is not an event', { cause });
}
