/** The adapter of programs written for fleet, or taught to speak to it: one JSON object a line. docs/agents.md lists them. */
import type { AgentAdapter, AgentOutputEvent } from './agent-events.ts';
import { asText, type JsonLine, JsonLines } from './json-lines.ts';
import { ToolNames } from './tool-names.ts';

export class NdjsonAdapter implements AgentAdapter {
  readonly #lines = new JsonLines();
  readonly #tools = new ToolNames();

  push(text: string): AgentOutputEvent[] {
    return this.#lines.push(text).map((line) => this.#translate(line));
  }

  finish(): AgentOutputEvent[] {
    return this.#lines.finish().map((line) => this.#translate(line));
  }

  #translate(line: JsonLine): AgentOutputEvent {
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
        if (name !== null) return this.#tools.start({ type: 'tool-start', id, name, input: record.input ?? null });
        break;
      case 'tool-end': {
        const ok = record.ok !== false;
        return this.#tools.end({ type: 'tool-end', id, name, ok, output: asText(record.output) });
      }
      case 'result':
        return { type: 'verdict', failed: record.ok === false, text };
      case 'error':
        return { type: 'fault', message: asText(record.message) ?? text ?? 'the agent told an error without words' };
    }
    // JSON that says nothing to us may well be what the agent has to say.
    return { type: 'agent-stream', text: `${line.line}\n` };
  }
}
