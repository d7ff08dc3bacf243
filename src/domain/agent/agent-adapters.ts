/** The events of an agent's run, the same whatever program the agent is. docs/agents.md. */
import type { RunState } from '../states.ts';
import type { AgentOutputFormat } from './agent-spec.ts';
import { asRecord, asText, type JsonLine, JsonLines, type JsonRecord } from './json-lines.ts';

/** Events that an adapter derives from the program's stdout. */
export type AgentOutputEvent =
  | { type: 'agent-stream'; text: string }
  | ToolStart
  | ToolEnd
  /** The program's own verdict on how it ended; shown with the end of its run. */
  | { type: 'verdict'; failed: boolean; text: string | null }
  /** An error that the program reported while it continued. */
  | { type: 'fault'; message: string };

interface ToolStart {
  type: 'tool-start';
  /** The program's own id of this use of the tool; null where it gives none. */
  id: string | null;
  name: string;
  /** As the program reported it; null if it did not. */
  input: unknown;
}

interface ToolEnd {
  type: 'tool-end';
  id: string | null;
  /** Null where neither this record nor the one of the start says it. */
  name: string | null;
  ok: boolean;
  /** Null where the program does not tell it. */
  output: string | null;
}

/** Reads the text of one program's stdout, cut anywhere. */
export interface AgentAdapter {
  push(text: string): AgentOutputEvent[];
  /** The rest, at the end of the output. */
  finish(): AgentOutputEvent[];
}

/** What `fleet agent run --jsonl` prints. Exactly one with `final` true, or `agent-complete`, is the last of a run. */
export type AgentEvent = { job: string; run: string; node: string; agent: string } & (
  | { type: 'agent-start' }
  /** `stderr` is what the program wrote there, as it is. */
  | { type: 'agent-stream'; stream: 'stdout' | 'stderr'; text: string }
  | ToolStart
  | ToolEnd
  | { type: 'agent-complete'; exitCode: 0; durationMs: number | null; result: string | null }
  | { type: 'agent-error'; final: false; message: string }
  | {
      type: 'agent-error';
      final: true;
      message: string;
      state: RunState;
      exitCode: number | null;
      signal: string | null;
      reason: string | null;
      durationMs: number | null;
      result: string | null;
    }
);

/** Chooses the adapter for an agent's output. */
export function createAdapter(format: AgentOutputFormat): AgentAdapter {
  switch (format) {
    case 'ndjson':
      return new NdjsonAdapter();
    case 'stream-json':
      return new StreamJsonAdapter();
    // Also a format that only a later version knows.
    default:
      return new TextAdapter();
  }
}

/** The adapter of programs that simply write what they have to say. */
export class TextAdapter implements AgentAdapter {
  push(text: string): AgentOutputEvent[] {
    return text === '' ? [] : [{ type: 'agent-stream', text }];
  }

  finish(): AgentOutputEvent[] {
    return [];
  }
}

/** An adapter of programs that write one JSON object a line. */
abstract class JsonAdapter implements AgentAdapter {
  readonly #lines = new JsonLines();
  protected readonly tools = new ToolNames();

  push(text: string): AgentOutputEvent[] {
    return this.#lines.push(text).flatMap((line) => this.translate(line));
  }

  finish(): AgentOutputEvent[] {
    return this.#lines.finish().flatMap((line) => this.translate(line));
  }

  protected abstract translate(line: JsonLine): AgentOutputEvent | AgentOutputEvent[];
}

/** The adapter of programs written for fleet, or taught to speak to it: one JSON object a line. docs/agents.md lists them. */
class NdjsonAdapter extends JsonAdapter {
  protected translate(line: JsonLine): AgentOutputEvent {
    if (line.kind === 'text') return { type: 'agent-stream', text: line.text };
    const { record } = line;
    const id = asText(record.id);
    const text = asText(record.text);
    const name = asText(record.name);
    switch (record.type) {
      case 'text':
        if (text !== null) return { type: 'agent-stream', text };
        break;
      case 'tool-start':
        if (name !== null) return this.tools.start({ type: 'tool-start', id, name, input: record.input ?? null });
        break;
      case 'tool-end': {
        const ok = record.ok !== false;
        return this.tools.end({ type: 'tool-end', id, name, ok, output: asText(record.output) });
      }
      case 'result':
        return { type: 'verdict', failed: record.ok === false, text };
      case 'error':
        return {
          type: 'fault',
          message: asText(record.message) ?? text ?? 'the agent reported an error without a message',
        };
    }
    // JSON that says nothing to us may well be what the agent has to say.
    return { type: 'agent-stream', text: `${line.line}\n` };
  }
}

/**
 * The adapter of `stream-json`, as `claude -p --output-format stream-json --verbose` writes it: records `assistant` and `user` hold
 * whole messages of content blocks, `stream_event` holds parts of them (with --include-partial-messages), and `result` is the end.
 * Records of other types are about the program itself; they stay in the log only.
 */
class StreamJsonAdapter extends JsonAdapter {
  /** Text of the present block that came in parts; the whole block will repeat it. */
  #partial = '';

  protected translate(line: JsonLine): AgentOutputEvent[] {
    if (line.kind === 'text') return [{ type: 'agent-stream', text: line.text }];
    const { record } = line;
    switch (record.type) {
      case 'assistant':
      case 'user':
        return blocksOf(record).flatMap((block) => this.#block(block, record.type === 'assistant'));
      case 'stream_event':
        return this.#part(record);
      case 'result':
        return [verdict(record)];
      default:
        return [];
    }
  }

  #block(block: JsonRecord, ofAssistant: boolean): AgentOutputEvent[] {
    const text = asText(block.text);
    if (block.type === 'text' && ofAssistant && text !== null) return this.#text(text);
    const name = asText(block.name);
    if (block.type === 'tool_use' && name !== null) {
      const id = asText(block.id);
      return [this.tools.start({ type: 'tool-start', id, name, input: block.input ?? null })];
    }
    if (block.type === 'tool_result') {
      const id = asText(block.tool_use_id);
      const output = contentText(block.content);
      return [this.tools.end({ type: 'tool-end', id, name: null, ok: block.is_error !== true, output })];
    }
    return [];
  }

  /** A block ends with a newline here, since the next one is another paragraph. */
  #text(text: string): AgentOutputEvent[] {
    const partial = this.#partial;
    this.#partial = '';
    const rest = text.startsWith(partial) ? text.slice(partial.length) : text;
    const missing = text === '' || text.endsWith('\n') ? rest : `${rest}\n`;
    return missing === '' ? [] : [{ type: 'agent-stream', text: missing }];
  }

  #part(record: JsonRecord): AgentOutputEvent[] {
    const event = asRecord(record.event);
    // Parts of a subagent arrive between those of its caller, whose complete blocks follow anyway.
    if (event === undefined || asText(record.parent_tool_use_id) !== null) return [];
    if (event.type === 'content_block_start') this.#partial = '';
    const delta = asRecord(event.delta);
    const text = delta?.type === 'text_delta' ? asText(delta.text) : null;
    if (text === null || text === '') return [];
    this.#partial += text;
    return [{ type: 'agent-stream', text }];
  }
}

function blocksOf(record: JsonRecord): JsonRecord[] {
  const content = asRecord(record.message)?.content;
  if (typeof content === 'string') return [{ type: 'text', text: content }];
  return Array.isArray(content) ? content.map(asRecord).filter((block) => block !== undefined) : [];
}

/** A tool's result: text, or blocks of which some are text. */
function contentText(content: unknown): string | null {
  if (!Array.isArray(content)) return asText(content);
  const texts = content.flatMap((block) => asText(asRecord(block)?.text) ?? []);
  return texts.length === 0 ? null : texts.join('\n');
}

function verdict(record: JsonRecord): AgentOutputEvent {
  const subtype = asText(record.subtype);
  const failed = record.is_error === true || (subtype !== null && subtype !== 'success');
  return { type: 'verdict', failed, text: asText(record.result) ?? (failed ? subtype : null) };
}

/** Uses that are open at once; a program that never ends any must not fill the memory. */
const MOST_OPEN = 10_000;

class ToolNames {
  readonly #names = new Map<string, string>();

  start(event: ToolStart): ToolStart {
    if (event.id !== null && this.#names.size < MOST_OPEN) this.#names.set(event.id, event.name);
    return event;
  }

  end(event: ToolEnd): ToolEnd {
    const name = event.name ?? (event.id === null ? null : (this.#names.get(event.id) ?? null));
    if (event.id !== null) this.#names.delete(event.id);
    return { ...event, name };
  }
}
