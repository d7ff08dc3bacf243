/** Reads a stream of NDJSON events and notices when it went silent: a dead gateway must not look like a quiet job. */
import type { Readable } from 'node:stream';
import type { JobEvent } from '../protocol/job-messages.ts';
import type { Clock } from '../shared/clock.ts';
import { FleetError } from '../shared/errors.ts';
import { stripControl } from '../shared/strip-control.ts';

/** The gateway says `ping` every 10 s; after three of them were missed it is taken for dead, ms. */
export const SILENCE_DEADLINE_MS = 35_000;
/** Longest line: 256 KiB of output as base64 and what stands around it, with room to grow; characters. */
const MAX_LINE_LENGTH = 4 * 1024 * 1024;
/** Longest id or name in an event, UTF-16 units. */
const MAX_NAME_LENGTH = 255;

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
  if (!isEvent(event)) throw notAnEvent();
  return event;
}

/** What every event of a kind has. By hand: `fleet run` must not load schemas, which takes longer than a short command. */
const MEMBERS: Readonly<
  Record<JobEvent['type'], Readonly<Record<string, 'string' | 'number' | 'object' | 'boolean'>>>
> = {
  job: { job: 'string', runs: 'object' },
  state: { run: 'string', index: 'number', node: 'string', state: 'string', at: 'string' },
  stdout: { run: 'string', index: 'number', node: 'string', next: 'number', data: 'string' },
  stderr: { run: 'string', index: 'number', node: 'string', next: 'number', data: 'string' },
  agent: { run: 'string', index: 'number', node: 'string', next: 'number', agent: 'object' },
  gap: { run: 'string', index: 'number', node: 'string', next: 'number', stdoutBytes: 'number', stderrBytes: 'number' },
  exited: { run: 'string', index: 'number', node: 'string', next: 'number', holders: 'object' },
  live: { run: 'string', index: 'number', node: 'string', next: 'number' },
  'live-end': { complete: 'boolean' },
  end: { run: 'string', index: 'number', node: 'string', next: 'number', state: 'string', stdoutBytes: 'number' },
  done: { job: 'string' },
  ping: {},
};

/** Names are printed as they are; what has control characters in them is none of ours. Kinds of a later version pass. */
function isEvent(value: unknown): value is JobEvent {
  if (typeof value !== 'object' || value === null || !('type' in value) || typeof value.type !== 'string') return false;
  if (!Object.hasOwn(MEMBERS, value.type)) return true;
  const event = value as Record<string, unknown>;
  const members = Object.entries(MEMBERS[value.type as JobEvent['type']]);
  const names = [event.run, event.node, event.job, event.state].filter((name) => name !== undefined);
  return (
    members.every(([name, type]) => typeof event[name] === type && event[name] !== null) &&
    names.every((name) => typeof name === 'string' && name.length <= MAX_NAME_LENGTH && stripControl(name) === name) &&
    (value.type !== 'job' || (Array.isArray(event.runs) && event.runs.every(isRun))) &&
    (value.type !== 'exited' || Array.isArray(event.holders))
  );
}

function isRun(value: unknown): boolean {
  if (typeof value !== 'object' || value === null) return false;
  const { run, index, node, state } = value as Record<string, unknown>;
  const names = [run, node, state];
  return typeof index === 'number' && names.every((name) => typeof name === 'string' && stripControl(name) === name);
}

function notAnEvent(cause?: unknown): FleetError {
  return new FleetError('internal', 'the gateway sent something that is not an event', { cause });
}
