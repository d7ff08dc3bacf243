/** Names of agents and formats of their output, shared by gateway, node and CLI. */
import { z } from 'zod';

/** Names appear in capabilities (64 characters at most) and on command lines. */
export const agentNameSchema = z
  .string()
  .max(48)
  .regex(/^[a-z0-9][a-z0-9._-]{0,47}$/, 'an agent has a name of 1 to 48 of a-z, 0-9, dot, underscore and dash');

/** How the stdout of an agent's program is to be read. docs/agents.md. */
export const AGENT_OUTPUT_FORMATS = ['text', 'ndjson', 'stream-json'] as const;
export type AgentOutputFormat = (typeof AGENT_OUTPUT_FORMATS)[number];

/** Part of a `started` frame, so that a log is read later as the node's config said at the time. */
export const startedAgentSchema = z.object({
  name: agentNameSchema,
  /** A format of a later version is shown as it is. */
  events: z.enum(AGENT_OUTPUT_FORMATS).catch('text'),
});
export type StartedAgent = z.infer<typeof startedAgentSchema>;
