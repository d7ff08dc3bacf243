/** From what was typed behind `fleet agent run` to a prompt and where it goes. */
import type { SubmitJobRequest } from '../../protocol/job-messages.ts';
import { FleetError } from '../../shared/errors.ts';

/** Every node with a live tunnel; the gateway leaves out those that take no work. */
const ANYWHERE = '@online,@limited';

export interface AgentAddress {
  agent: string;
  target: Exclude<SubmitJobRequest['target'], { selector: string }>;
  /** Words of the prompt. */
  prompt: readonly string[];
}

/** With --any there is no NODE, so that each word has moved by one. @throws FleetError `usage`. */
export function addressAgent(
  { NODE, AGENT }: { NODE: string; AGENT: string },
  words: readonly string[],
  { any = false, on }: { any?: boolean | undefined; on?: string | undefined },
): AgentAddress {
  if (on !== undefined && !any) {
    throw new FleetError('usage', '--on needs --any: an agent runs on one of the nodes', {
      hint: "For example: fleet agent run --any --on @all coder 'PROMPT'",
    });
  }
  const prompt = any ? [AGENT, ...words] : words;
  if (prompt.join(' ').trim() === '') {
    throw new FleetError('usage', 'there is no prompt', {
      hint: "Write it last, for example: fleet agent run node-1 coder 'fix the test'",
    });
  }
  return any
    ? { agent: NODE, target: { any: on ?? ANYWHERE }, prompt }
    : { agent: AGENT, target: { node: NODE }, prompt };
}
