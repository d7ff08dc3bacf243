/** Remembers which use of a tool has which name: most programs name the tool only when it starts. */
import type { ToolEnd, ToolStart } from './agent-events.ts';

/** Uses that are open at once; a program that never ends any must not fill the memory. */
const MOST_OPEN = 10_000;

export class ToolNames {
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
