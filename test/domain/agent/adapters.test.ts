import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import type { AgentOutputEvent } from '../../../src/domain/agent/agent-adapters.ts';
import { createAdapter } from '../../../src/domain/agent/agent-adapters.ts';
import { AGENT_OUTPUT_FORMATS, type AgentOutputFormat } from '../../../src/domain/agent/agent-spec.ts';
import { JsonLines } from '../../../src/domain/agent/json-lines.ts';

function read(format: AgentOutputFormat, chunks: readonly string[]): AgentOutputEvent[] {
  const adapter = createAdapter(format);
  return [...chunks.flatMap((chunk) => adapter.push(chunk)), ...adapter.finish()];
}

const lines = (...records: object[]): string => records.map((record) => `${JSON.stringify(record)}\n`).join('');
const streamed = (events: readonly AgentOutputEvent[]): string =>
  events.map((event) => (event.type === 'agent-stream' ? event.text : '')).join('');
/** Neighbouring texts are one, since where they were cut says nothing. */
function joined(events: readonly AgentOutputEvent[]): AgentOutputEvent[] {
  const result: AgentOutputEvent[] = [];
  for (const event of events) {
    const last = result.at(-1);
    if (event.type === 'agent-stream' && last?.type === 'agent-stream') {
      result[result.length - 1] = { type: 'agent-stream', text: last.text + event.text };
    } else result.push(event);
  }
  return result;
}

/** `text` cut at the given places. */
function cut(text: string, at: readonly number[]): string[] {
  const places = [0, ...at.map((place) => place % (text.length + 1)).sort((a, b) => a - b), text.length];
  return places.slice(1).map((end, index) => text.slice(places[index], end));
}

const records = fc.oneof(
  fc.record({ type: fc.constant('text'), text: fc.string() }),
  fc.record({ type: fc.constant('tool-start'), id: fc.string(), name: fc.string(), input: fc.json() }),
  fc.record({ type: fc.constant('tool-end'), id: fc.string(), ok: fc.boolean() }),
  fc.record({ type: fc.constantFrom('result', 'error'), text: fc.string() }),
  fc.record({ type: fc.constant('result'), is_error: fc.boolean(), result: fc.string() }),
  fc.record({
    type: fc.constantFrom('assistant', 'user'),
    message: fc.record({
      content: fc.array(
        fc.oneof(
          fc.record({ type: fc.constant('text'), text: fc.string() }),
          fc.record({ type: fc.constant('tool_use'), id: fc.string(), name: fc.string() }),
          fc.record({ type: fc.constant('tool_result'), tool_use_id: fc.string(), content: fc.string() }),
          fc.anything(),
        ),
      ),
    }),
  }),
  fc.record({
    type: fc.constant('stream_event'),
    event: fc.record({ delta: fc.record({ type: fc.constant('text_delta'), text: fc.string() }) }),
  }),
  fc.dictionary(fc.string(), fc.jsonValue()),
);
const output = fc
  .array(
    fc.oneof(
      records.map((record) => JSON.stringify(record)),
      fc.string(),
      fc.json(),
    ),
  )
  .map((all) => all.join('\n'));

describe('every adapter', () => {
  it('gives the same events wherever the output was cut', () => {
    fc.assert(
      fc.property(fc.constantFrom(...AGENT_OUTPUT_FORMATS), output, fc.array(fc.nat()), (format, text, at) => {
        assert.deepEqual(joined(read(format, cut(text, at))), joined(read(format, [text])));
      }),
    );
  });

  it('keeps every line that is no JSON object, as it is', () => {
    const garbage = fc.array(fc.string().filter((line) => line.trim() !== '' && !line.includes('{')));
    fc.assert(
      fc.property(fc.constantFrom(...AGENT_OUTPUT_FORMATS), garbage, (format, all) => {
        const text = all
          .map((line) => `${line}\n`)
          .join('')
          .replaceAll(/\n\s*\n/g, '\n')
          .replace(/^\n/, '');
        assert.equal(streamed(read(format, [text])), text);
      }),
    );
  });
});

describe('ndjson', () => {
  it('knows its five types', () => {
    const text = lines(
      { type: 'text', text: 'a' },
      { type: 'tool-start', id: '1', name: 'grep', input: { pattern: 'x' } },
      { type: 'tool-end', id: '1', ok: false, output: 'none' },
      { type: 'error', message: 'oh' },
      { type: 'result', text: 'done' },
    );
    assert.deepEqual(read('ndjson', [text]), [
      { type: 'agent-stream', text: 'a' },
      { type: 'tool-start', id: '1', name: 'grep', input: { pattern: 'x' } },
      { type: 'tool-end', id: '1', name: 'grep', ok: false, output: 'none' },
      { type: 'fault', message: 'oh' },
      { type: 'verdict', failed: false, text: 'done' },
    ]);
  });

  it('shows JSON of other types as text, and the last line without a newline', () => {
    const other = '{"type":"other", "n":1}';
    assert.equal(
      streamed(read('ndjson', [`${other}\n{"type":"text"}\n`, 'no newline'])),
      `${other}\n{"type":"text"}\nno newline`,
    );
    assert.deepEqual(read('ndjson', ['{"type":"text","text":"x"}']), [{ type: 'agent-stream', text: 'x' }]);
  });
});

describe('stream-json', () => {
  const assistant = (...content: object[]): object => ({ type: 'assistant', message: { role: 'assistant', content } });
  const part = (text: string): object => ({
    type: 'stream_event',
    event: { type: 'content_block_delta', delta: { type: 'text_delta', text } },
  });

  it('finds text, tools and the result among the records', () => {
    const text = lines(
      { type: 'system', subtype: 'init', tools: ['Bash'] },
      assistant(
        { type: 'text', text: 'I look.' },
        { type: 'tool_use', id: 't1', name: 'Bash', input: { command: 'ls' } },
      ),
      {
        type: 'user',
        message: { content: [{ type: 'tool_result', tool_use_id: 't1', content: [{ type: 'text', text: 'a\nb' }] }] },
      },
      assistant({ type: 'text', text: 'Two files.' }),
      { type: 'result', subtype: 'success', is_error: false, result: 'Two files.', duration_ms: 12 },
    );
    assert.deepEqual(read('stream-json', [text]), [
      { type: 'agent-stream', text: 'I look.\n' },
      { type: 'tool-start', id: 't1', name: 'Bash', input: { command: 'ls' } },
      { type: 'tool-end', id: 't1', name: 'Bash', ok: true, output: 'a\nb' },
      { type: 'agent-stream', text: 'Two files.\n' },
      { type: 'verdict', failed: false, text: 'Two files.' },
    ]);
  });

  it('does not repeat text that came in parts', () => {
    const whole = assistant({ type: 'text', text: 'one two' });
    assert.equal(streamed(read('stream-json', [lines(part('one '), part('two'), whole, whole)])), 'one two\none two\n');
  });

  it('takes a failed result for what it is', () => {
    const failed = (record: object): AgentOutputEvent[] => read('stream-json', [lines({ type: 'result', ...record })]);
    assert.deepEqual(failed({ subtype: 'error_max_turns' }), [
      { type: 'verdict', failed: true, text: 'error_max_turns' },
    ]);
    assert.deepEqual(failed({ subtype: 'success', is_error: true, result: 'no credit' }), [
      { type: 'verdict', failed: true, text: 'no credit' },
    ]);
  });
});

describe('lines that are too long', () => {
  it('are given out as text before they are whole, and lose nothing', () => {
    const splitter = new JsonLines(10);
    const long = `{"a":"${'x'.repeat(30)}"}`;
    const given = [...splitter.push(long.slice(0, 20)), ...splitter.push(`${long.slice(20)}\n{"b":1}\n`)];
    assert.deepEqual(given, [
      { kind: 'text', text: long.slice(0, 20) },
      { kind: 'text', text: `${long.slice(20)}\n` },
      { kind: 'record', record: { b: 1 }, line: '{"b":1}' },
    ]);
  });
});

describe('what a hostile program writes', () => {
  it('is text when it is nested so deeply that nobody could write it again', () => {
    const line = `{"type":"tool-start","name":"a","input":${'['.repeat(50_000)}${']'.repeat(50_000)}}\n`;
    for (const format of ['ndjson', 'stream-json'] as const) {
      const events = read(format, [line]);
      assert.ok(JSON.stringify(events).length > 0);
      assert.equal(streamed(events), line, format);
    }
  });

  it('is text when its format is of a later version', () => {
    assert.equal(streamed(createAdapter('later' as 'text').push('a\n')), 'a\n');
  });
});
