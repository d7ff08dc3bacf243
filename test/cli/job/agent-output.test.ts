import assert from 'node:assert/strict';
import { test } from 'node:test';
import { AgentTextOutput } from '../../../src/cli/job/agent.ts';
import { createTerminalStyle, type OutputPort } from '../../../src/cli/output/print.ts';
import type { JobEvent, RunView } from '../../../src/protocol/job-messages.ts';

const WHERE = { job: 'j', run: 'j.0', index: 0, node: 'node-1', next: 0 };

/** What a person sees: stdout and stderr, and both in the order in which they were written. */
function show(records: readonly object[], { isTerminal = false, end = {} as Partial<RunView> } = {}) {
  const seen = { out: '', err: '', both: '' };
  const port = (name: 'out' | 'err'): OutputPort => ({
    write: (data) => {
      seen[name] += String(data);
      seen.both += String(data);
    },
    giveUp: () => {},
    ready: async () => {},
    flush: async () => {},
    gone: new AbortController().signal,
    isTerminal,
    size: () => undefined,
    onResize: () => () => undefined,
    style: createTerminalStyle({ isTTY: isTerminal, env: {} }),
  });
  const output = new AgentTextOutput('coder', { out: port('out'), err: port('err') });
  const stdout = records.map((record): JobEvent => ({ type: 'stdout', ...WHERE, data: `${JSON.stringify(record)}\n` }));
  const run = { ...WHERE, state: 'exited', exitCode: 0, signal: null, reason: null, durationMs: 1, ...end } as RunView;
  const started: JobEvent = { type: 'agent', ...WHERE, agent: { name: 'coder', events: 'ndjson' } };
  for (const event of [started, ...stdout, { type: 'end', next: 0, ...run } as const]) output.handle(event);
  return seen;
}

test('an agent that only tells its result has it shown; one that talked has not', () => {
  assert.equal(show([{ type: 'result', text: 'done' }]).out, 'done\n');
  assert.equal(
    show([
      { type: 'text', text: 'hi\n' },
      { type: 'result', text: 'hi' },
    ]).out,
    'hi\n',
  );
});

test('tools and errors are lines on stderr that nobody can break out of', () => {
  const { err, out } = show([
    { type: 'tool-start', id: '1', name: 'sh\u001b[2J\n', input: { command: 'x'.repeat(1000) } },
    { type: 'tool-end', id: '1', ok: false },
    { type: 'error', message: 'oh\nno' },
  ]);
  const lines = err.split('\n');
  assert.equal(lines.length, 4);
  assert.match(lines[0] ?? '', /^> sh\ufffd\[2J\ufffd \{"command":"x{100,150}…$/);
  assert.match(lines[1] ?? '', /^! failed: sh/);
  assert.equal(lines[2], 'fleet: node-1: oh\ufffdno');
  assert.equal(out, '');
});

test('a line of text that is not complete is ended before a note, but only where both meet on a terminal', () => {
  const records = [
    { type: 'text', text: 'half' },
    { type: 'tool-start', id: '1', name: 'ls' },
    { type: 'text', text: ' a line\n' },
  ];
  assert.equal(show(records, { isTerminal: true }).both, 'half\n> ls\n a line\n');
  assert.equal(show(records).out, 'half a line\n');
});

test('the words of a failure are shown, but a run that never exited is explained elsewhere', () => {
  assert.match(show([], { end: { exitCode: 3 } }).err, /^fleet: node-1: exited with code 3$/m);
  assert.equal(show([], { end: { state: 'rejected', exitCode: null, reason: 'no_such_agent: x' } }).err, '');
});
