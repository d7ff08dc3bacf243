/** The adapter of programs that simply write what they have to say. */
import type { AgentAdapter, AgentOutputEvent } from './agent-events.ts';

export class TextAdapter implements AgentAdapter {
  push(text: string): AgentOutputEvent[] {
    return text === '' ? [] : [{ type: 'agent-stream', text }];
  }

  finish(): AgentOutputEvent[] {
    return [];
  }
}
