/** What the node's config says of its agents: the gateway names an agent, and only the node knows which program that is. */
import { z } from 'zod';
import { AGENT_OUTPUT_FORMATS, agentNameSchema } from '../../domain/agent/agent-spec.ts';
import { intervalSchema } from '../../shared/config.ts';

/** The node advertises each as a capability, of which it may have 256. */
const MAX_AGENTS = 200;

const agentConfigSchema = z.strictObject({
  /** Program and arguments, given to no shell; the program by absolute path or by its name in the PATH of the node. */
  command: z.tuple([z.string().min(1)], z.string(), 'must be a list: the program, and each of its arguments'),
  /** How the program gets the prompt: on stdin, as its last argument, or in one line of JSON on stdin. */
  prompt: z.enum(['stdin', 'argument', 'json']).default('stdin'),
  /** How its stdout is to be read. */
  events: z.enum(AGENT_OUTPUT_FORMATS).default('text'),
  /** From start to SIGTERM, unless the job says otherwise. */
  timeout: intervalSchema.optional(),
  /** Runs of this agent that work at once on this node; others wait on the node for their turn. */
  maxParallel: z.number().int().positive().optional(),
});

export type AgentConfig = Readonly<z.output<typeof agentConfigSchema>>;

export const agentsConfigSchema = z
  .record(agentNameSchema, agentConfigSchema)
  .refine((agents) => Object.keys(agents).length <= MAX_AGENTS, `more than ${MAX_AGENTS} agents`);

/** By name. */
export type AgentsConfig = Readonly<Record<string, AgentConfig>>;
