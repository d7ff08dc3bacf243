/** The events of an agent's run, the same whatever program the agent is. docs/agents.md. */
import type { RunState } from '../run-state.ts';

/** What an adapter makes of the program's stdout. */
export type AgentOutputEvent =
  | { type: 'agent-stream'; text: string }
  | ToolStart
  | ToolEnd
  /** The program has told how it ended, in its own words; shown with the end of its run. */
  | { type: 'verdict'; failed: boolean; text: string | null }
  /** An error that the program told while it went on. */
  | { type: 'fault'; message: string };

export interface ToolStart {
  type: 'tool-start';
  /** The program's own id of this use of the tool; null where it gives none. */
  id: string | null;
  name: string;
  /** As the program told it; null where it did not. */
  input: unknown;
}

export interface ToolEnd {
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
  /** What was held back, at the end of the output. */
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
