/**
 * The adapter of `stream-json`, as `claude -p --output-format stream-json --verbose` writes it: records `assistant` and `user` hold
 * whole messages of content blocks, `stream_event` holds parts of them (with --include-partial-messages), and `result` is the end.
 * Records of other types are about the program itself; they stay in the log only.
 */
import type { AgentAdapter, AgentOutputEvent } from './agent-events.ts';
import { asRecord, asText, type JsonLine, JsonLines, type JsonRecord } from './json-lines.ts';
import { ToolNames } from './tool-names.ts';

export class StreamJsonAdapter implements AgentAdapter {
  readonly #lines = new JsonLines();
  readonly #tools = new ToolNames();
  /** Text of the present block that came in parts; the whole block will repeat it. */
  #partial = '';

  push(text: string): AgentOutputEvent[] {
    return this.#lines.push(text).flatMap((line) => this.#translate(line));
  }

  finish(): AgentOutputEvent[] {
    return this.#lines.finish().flatMap((line) => this.#translate(line));
  }

  #translate(line: JsonLine): AgentOutputEvent[] {
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
      return [this.#tools.start({ type: 'tool-start', id, name, input: block.input ?? null })];
    }
    if (block.type === 'tool_result') {
      const id = asText(block.tool_use_id);
      const output = contentText(block.content);
      return [this.#tools.end({ type: 'tool-end', id, name: null, ok: block.is_error !== true, output })];
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
    // A subagent's parts come in between those of the one who called it, whose whole blocks follow all the same.
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

/** What a tool gave back: text, or blocks of which some are text. */
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
