import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { AgentReader } from '../../src/client/agent-reader.ts';
import type { AgentEvent } from '../../src/domain/agent/agent-adapters.ts';
import type { AgentOutputFormat } from '../../src/domain/agent/agent-spec.ts';
import { encodeData } from '../../src/protocol/frames.ts';
import type { JobEvent, RunView } from '../../src/protocol/job-messages.ts';

const WHERE = { job: 'j', run: 'j.0', index: 0, node: 'node-1', next: 0 };
const RUN: RunView = {
  ...WHERE,
  state: 'exited',
  exitCode: 0,
  signal: null,
  reason: null,
  queuedAt: '',
  deliveredAt: null,
  startedAt: null,
  endedAt: null,
  durationMs: 5,
  stdoutBytes: 0,
  stderrBytes: 0,
  truncated: false,
};

function read(format: AgentOutputFormat, chunks: readonly Buffer[], end: Partial<RunView> = {}): AgentEvent[] {
  const reader = new AgentReader('coder');
  const events: JobEvent[] = [
    { type: 'job', job: 'j', runs: [] },
    { type: 'agent', ...WHERE, agent: { name: 'coder', events: format } },
    ...chunks.map((chunk) => ({ type: 'stdout' as const, ...WHERE, ...encodeData(chunk) })),
    { type: 'end', next: 0, ...RUN, ...end },
  ];
  return events.flatMap((event) => reader.handle(event));
}

const textOf = (events: readonly AgentEvent[]): string =>
  events.map((event) => (event.type === 'agent-stream' ? event.text : '')).join('');

test('characters stay whole wherever the bytes were cut; what is no UTF-8 becomes U+FFFD', () => {
  fc.assert(
    fc.property(fc.string({ unit: 'binary' }), fc.nat(), (text, place) => {
      const bytes = Buffer.from(text);
      const at = place % (bytes.length + 1);
      assert.equal(textOf(read('text', [bytes.subarray(0, at), bytes.subarray(at)])), bytes.toString());
    }),
  );
  assert.equal(textOf(read('text', [Buffer.from([0x61, 0xff]), Buffer.from([0xc3])])), 'a\ufffd\ufffd');
});

test('whatever the program writes, there is one start, and one end, which is the last', () => {
  const formats = fc.constantFrom<AgentOutputFormat>('text', 'ndjson', 'stream-json');
  const chunks = fc.array(fc.uint8Array().map((bytes) => Buffer.from(bytes)));
  fc.assert(
    fc.property(formats, chunks, fc.nat(255), (format, output, exitCode) => {
      const events = read(format, output, { exitCode });
      const isEnd = (event: AgentEvent): boolean =>
        event.type === 'agent-complete' || (event.type === 'agent-error' && event.final);
      assert.equal(events[0]?.type, 'agent-start');
      assert.equal(events.filter(({ type }) => type === 'agent-start').length, 1);
      assert.deepEqual(events.filter(isEnd), events.slice(-1));
      assert.equal(events.at(-1)?.type === 'agent-complete', exitCode === 0);
      assert.ok(events.every(({ job, run, node, agent }) => `${job} ${run} ${node} ${agent}` === 'j j.0 node-1 coder'));
    }),
  );
});

test('a gap in the output is told, and keeps apart what it parted', () => {
  const reader = new AgentReader('coder');
  const stdout = (text: string): JobEvent => ({ type: 'stdout', ...WHERE, data: text });
  const events = [
    { type: 'agent', ...WHERE, agent: { name: 'coder', events: 'ndjson' } } as const,
    stdout('{"type":"text","te'),
    { type: 'gap', ...WHERE, stdoutBytes: 100, stderrBytes: 1 } as const,
    stdout('xt":"x"}\n{"type":"text","text":"y"}\n'),
  ].flatMap((event) => reader.handle(event));
  assert.equal(textOf(events), '{"type":"text","text":"x"}\ny');
  assert.ok(
    events.some((event) => event.type === 'agent-error' && !event.final && event.message.startsWith('101 bytes')),
  );
});

test('the end: the result, the own words of a failure, the last error, or the reason of the run', () => {
  const line = (record: object): Buffer[] => [Buffer.from(JSON.stringify(record))];
  const last = (events: readonly AgentEvent[]): Record<string, unknown> => ({ ...events.at(-1) });
  const done = last(read('ndjson', line({ type: 'result', text: 'done' })));
  assert.deepEqual([done.type, done.result, done.exitCode, done.durationMs], ['agent-complete', 'done', 0, 5]);
  const gaveUp = last(read('ndjson', line({ type: 'result', text: 'gave up', ok: false })));
  assert.deepEqual([gaveUp.type, gaveUp.message, gaveUp.exitCode], ['agent-error', 'gave up', 0]);
  const oops = last(read('ndjson', line({ type: 'error', message: 'oops' }), { exitCode: 2 }));
  assert.deepEqual([oops.type, oops.message, oops.exitCode], ['agent-error', 'oops', 2]);
  assert.equal(last(read('ndjson', line({ type: 'error', message: 'oops' }))).type, 'agent-complete');
  assert.equal(last(read('text', [], { exitCode: 4 })).message, 'exited with code 4');
  const rejected = last(read('text', [], { state: 'rejected', exitCode: null, reason: 'no_such_agent: x' }));
  assert.deepEqual([rejected.type, rejected.message], ['agent-error', 'no_such_agent: x']);
});
