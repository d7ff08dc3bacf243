/** Reads a stream of NDJSON events and notices when it went silent: a dead gateway must not look like a quiet job. */
import type { Readable } from 'node:stream';
import type { JobEvent } from '../protocol/job-messages.ts';
import type { Clock } from '../shared/clock.ts';
import { FleetError } from '../shared/errors.ts';
import { isTooDeep, stripControl } from '../shared/text.ts';

/** The gateway says `ping` every 10 s; after three of them were missed it is taken for dead, ms. */
export const SILENCE_DEADLINE_MS = 35_000;
/** Longest line: 256 KiB of output as base64 and what stands around it, with room to grow; characters. */
const MAX_LINE_LENGTH = 4 * 1024 * 1024;
/** Longest id or name in an event, UTF-16 units. */
const MAX_NAME_LENGTH = 255;

/**
 * Yields every event as the gateway sent it, until the stream ends; the caller knows which event must be the last.
 * @throws FleetError `timeout` after {@link SILENCE_DEADLINE_MS} without a byte; `internal` for anything that is not an event; what the stream throws.
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
  if (!isEvent(event)) throw notAnEvent();
  return event;
}

type Check = (value: unknown) => boolean;

const isText: Check = (value) => typeof value === 'string';
/** A name, an id, a state or a time: printed as it is, so what a terminal would obey is none of ours. */
const isName: Check = (value) =>
  typeof value === 'string' && value.length <= MAX_NAME_LENGTH && stripControl(value) === value;
const isCount: Check = (value) => Number.isSafeInteger(value) && (value as number) >= 0;
const isCode: Check = (value) => Number.isSafeInteger(value);
const orNull =
  (check: Check): Check =>
  (value) =>
    value === null || check(value);
const listOf =
  (check: Check): Check =>
  (value) =>
    Array.isArray(value) && value.every(check);
const objectWith = (members: Readonly<Record<string, Check>>): Check => {
  const checks = Object.entries(members);
  return (value) =>
    typeof value === 'object' &&
    value !== null &&
    checks.every(([name, check]) => check((value as Record<string, unknown>)[name]));
};

const PLACE = { run: isName, index: isCount, node: isName, next: isCount };
const COUNTS = { stdoutBytes: isCount, stderrBytes: isCount };
const END = { exitCode: orNull(isCode), signal: orNull(isName) };

/** Required fields per kind of event. Checked by hand: loading schemas takes longer than a short `fleet run`. */
const EVENTS: Readonly<Record<JobEvent['type'], Check>> = {
  job: objectWith({
    job: isName,
    runs: listOf(objectWith({ run: isName, index: isCount, node: isName, state: isName })),
    notTried: (names) => names === undefined || listOf(isName)(names),
  }),
  state: objectWith({ run: isName, index: isCount, node: isName, state: isName, at: isName }),
  stdout: objectWith({ ...PLACE, data: isText }),
  stderr: objectWith({ ...PLACE, data: isText }),
  agent: objectWith({ ...PLACE, agent: objectWith({ name: isName, events: isName }) }),
  gap: objectWith({ ...PLACE, ...COUNTS }),
  exited: objectWith({ ...PLACE, ...END, holders: listOf(objectWith({ pid: isCount, name: isText })) }),
  live: objectWith(PLACE),
  'live-end': objectWith({ complete: (value) => typeof value === 'boolean' }),
  end: objectWith({ ...PLACE, ...COUNTS, ...END, state: isName, reason: orNull(isText), durationMs: orNull(isCount) }),
  done: objectWith({ job: isName }),
  ping: () => true,
};

/** Kinds of a later version pass. */
function isEvent(value: unknown): value is JobEvent {
  if (typeof value !== 'object' || value === null || !('type' in value) || typeof value.type !== 'string') return false;
  if (isTooDeep(value)) return false;
  return !Object.hasOwn(EVENTS, value.type) || EVENTS[value.type as JobEvent['type']](value);
}

function notAnEvent(cause?: unknown): FleetError {
  return new FleetError('internal', 'the gateway sent something that is not an event', { cause });
}
