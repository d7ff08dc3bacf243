/** The agents of this node: their config, how a prompt reaches one, and how many runs of each may work at once. */
import { z } from 'zod';
import { AGENT_OUTPUT_FORMATS, agentNameSchema, type StartedAgent } from '../../domain/agent/agent-spec.ts';
import type { AgentSpec } from '../../protocol/run-spec.ts';
import { intervalSchema } from '../../shared/config.ts';
import { FleetError } from '../../shared/errors.ts';
import { StartFailure } from '../shim/messages.ts';
import { findProgram, type Planner, type Program } from './plan.ts';

/** Each is advertised as a capability, of which a node may have 256. */
const MAX_AGENTS = 200;

const agentConfigSchema = z.strictObject({
  /** Program and arguments, without a shell; the program as an absolute path, or a name in the node's PATH. */
  command: z.tuple([z.string().min(1)], z.string(), 'must be a list: the program, and each of its arguments'),
  /** How the program gets the prompt: on stdin, as its last argument, or in a line of JSON on stdin. */
  prompt: z.enum(['stdin', 'argument', 'json']).default('stdin'),
  /** Format of its stdout. */
  events: z.enum(AGENT_OUTPUT_FORMATS).default('text'),
  /** From start to SIGTERM, unless the job sets its own. */
  timeout: intervalSchema.optional(),
  /** Concurrent runs of this agent on this node; further runs wait on the node. */
  maxParallel: z.number().int().positive().optional(),
});

export type AgentConfig = Readonly<z.output<typeof agentConfigSchema>>;

export const agentsConfigSchema = z
  .record(agentNameSchema, agentConfigSchema)
  .refine((agents) => Object.keys(agents).length <= MAX_AGENTS, `more than ${MAX_AGENTS} agents`);

/** By name. */
export type AgentsConfig = Readonly<Record<string, AgentConfig>>;

/** Turns of one agent; runs wait for theirs first come, first served. */
interface Turns {
  taken: number;
  waiting: Set<{ most: number; grant(): void }>;
}

export class AgentPlanner implements Planner<AgentSpec> {
  readonly #config: AgentsConfig;
  /** The node's own, never the run's: only the node decides which program an agent is. */
  readonly #path: string;
  readonly #turns = new Map<string, Turns>();

  constructor(config: AgentsConfig, path: string) {
    this.#config = config;
    this.#path = path;
  }

  /** Adds the agent's own timeout if the job sets none. @throws FleetError `no_such_agent`. */
  complete(spec: AgentSpec): AgentSpec {
    const agent = this.#find(spec);
    if (agent === undefined) {
      throw new FleetError('no_such_agent', `${spec.node} has no agent ${spec.agent}`, {
        hint: `List them with: fleet agents ${spec.node}`,
      });
    }
    const timeoutMs = spec.timeoutMs ?? agent.timeout;
    return timeoutMs === undefined ? spec : { ...spec, timeoutMs };
  }

  /** @throws StartFailure `no_such_agent` or `no_such_program`. */
  async program(spec: AgentSpec): Promise<Program> {
    const agent = this.#find(spec);
    // The node was restarted with another config after it had accepted the run.
    if (agent === undefined) throw new StartFailure(`no_such_agent: ${spec.agent}`);
    const [file, ...args] = agent.command;
    const program = await findProgram(file, this.#path);
    if (program === undefined) {
      const where = file.includes('/') ? '' : ` is not in ${this.#path}; give its full path, or set PATH in node.env`;
      throw new StartFailure(`no_such_program: ${file}${where}`);
    }
    const { prompt, run, job, node } = spec;
    if (agent.prompt === 'argument') return { argv: [program, ...args, prompt] };
    const json = { prompt, agent: spec.agent, run, job, node };
    return { argv: [program, ...args], input: agent.prompt === 'stdin' ? prompt : `${JSON.stringify(json)}\n` };
  }

  output(spec: AgentSpec): StartedAgent | undefined {
    const agent = this.#find(spec);
    return agent && { name: spec.agent, events: agent.events };
  }

  async takeTurn(spec: AgentSpec, signal: AbortSignal): Promise<(() => void) | undefined> {
    if (signal.aborted) return undefined;
    const turns = this.#turnsOf(spec);
    const most = this.#find(spec)?.maxParallel ?? Number.POSITIVE_INFINITY;
    if (turns.taken < most) return this.resumeTurn(spec);
    return await new Promise((resolve) => {
      const leave = (): void => {
        turns.waiting.delete(waiter);
        resolve(undefined);
      };
      const waiter = {
        most,
        grant: () => {
          turns.waiting.delete(waiter);
          signal.removeEventListener('abort', leave);
          resolve(this.resumeTurn(spec));
        },
      };
      turns.waiting.add(waiter);
      signal.addEventListener('abort', leave, { once: true });
    });
  }

  /** Takes a turn whether one is free or not. The function that it returns is idempotent. */
  resumeTurn(spec: AgentSpec): () => void {
    const turns = this.#turnsOf(spec);
    turns.taken += 1;
    let ended = false;
    return () => {
      if (ended) return;
      ended = true;
      turns.taken -= 1;
      const [next] = turns.waiting;
      // More runs of a former process may still be working than the config allows now.
      if (next !== undefined && turns.taken < next.most) next.grant();
    };
  }

  #find({ agent }: AgentSpec): AgentConfig | undefined {
    return Object.hasOwn(this.#config, agent) ? this.#config[agent] : undefined;
  }

  #turnsOf({ agent }: AgentSpec): Turns {
    const turns = this.#turns.get(agent) ?? { taken: 0, waiting: new Set() };
    this.#turns.set(agent, turns);
    return turns;
  }
}
