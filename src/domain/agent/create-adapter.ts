/** Chooses the adapter for an agent's output. */
import type { AgentAdapter } from './agent-events.ts';
import type { AgentOutputFormat } from './agent-spec.ts';
import { NdjsonAdapter } from './ndjson-adapter.ts';
import { StreamJsonAdapter } from './stream-json-adapter.ts';
import { TextAdapter } from './text-adapter.ts';

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
