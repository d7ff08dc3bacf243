/** The agents of this node, as its runs need them: who is there, how a prompt reaches it, and how many may work at once. */

import { constants } from 'node:fs';
import { access, stat } from 'node:fs/promises';
import { delimiter, join } from 'node:path';
import { z } from 'zod';
import { AGENT_OUTPUT_FORMATS, agentNameSchema, type StartedAgent } from '../../domain/agent/agent-spec.ts';
import type { AgentSpec, RunSpec } from '../../protocol/run-spec.ts';
import { intervalSchema } from '../../shared/config.ts';
import { FleetError } from '../../shared/errors.ts';
import { StartFailure } from '../shim/messages.ts';

const NO_SLOT = (): void => {};

export class Agents {
  readonly #config: AgentsConfig;
  readonly #slots = new AgentSlots();

  constructor(config: AgentsConfig) {
    this.#config = config;
  }

  /** The spec with what the agent's config adds where the job says nothing. @throws FleetError `no_such_agent`. */
  complete(spec: RunSpec): RunSpec {
    if (spec.kind !== 'agent') return spec;
    const agent = this.#find(spec);
    if (agent === undefined) {
      throw new FleetError('no_such_agent', `${spec.node} has no agent ${spec.agent}`, {
        hint: `See them: fleet agents ${spec.node}`,
      });
    }
    const timeoutMs = spec.timeoutMs ?? agent.timeout;
    return timeoutMs === undefined ? spec : { ...spec, timeoutMs };
  }

  /** @throws StartFailure `no_such_agent` or `no_such_program`. */
  async plan(spec: AgentSpec, baseEnv: NodeJS.ProcessEnv): Promise<AgentPlan> {
    const agent = this.#find(spec);
    // It was there when the run was accepted; the node was restarted with another config since.
    if (agent === undefined) throw new StartFailure(`no_such_agent: ${spec.agent}`);
    return await planAgent(spec, agent, baseEnv);
  }

  /** What a log's first frame says of the agent; undefined for a run of the shell. */
  startedAs(spec: RunSpec): StartedAgent | undefined {
    const agent = spec.kind === 'agent' ? this.#find(spec) : undefined;
    return spec.kind !== 'agent' || agent === undefined ? undefined : { name: spec.agent, events: agent.events };
  }

  /** Resolves with what gives the slot back, once it is this run's turn; undefined when `signal` aborts first. */
  async takeSlot(spec: RunSpec, signal: AbortSignal): Promise<(() => void) | undefined> {
    const most = spec.kind === 'agent' ? this.#find(spec)?.maxParallel : undefined;
    if (spec.kind !== 'agent' || most === undefined) return NO_SLOT;
    return await this.#slots.take(spec.agent, most, signal);
  }

  /** The slot of a run that a former process started. */
  occupySlot(spec: RunSpec): () => void {
    return spec.kind === 'agent' ? this.#slots.occupy(spec.agent) : NO_SLOT;
  }

  #find({ agent }: AgentSpec): AgentConfig | undefined {
    return Object.hasOwn(this.#config, agent) ? this.#config[agent] : undefined;
  }
}

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

/** Keeps an agent from working on more prompts at once than the node's config allows: the others wait, first come, first served. */
interface Waiter {
  most: number;
  grant(): void;
}

interface Agent {
  taken: number;
  waiting: Set<Waiter>;
}

class AgentSlots {
  readonly #agents = new Map<string, Agent>();

  /**
   * Resolves with what gives the slot back (idempotent), once there is one of `most`; undefined when `signal` aborts before that.
   */
  async take(name: string, most: number, signal: AbortSignal): Promise<(() => void) | undefined> {
    const agent = this.#agentOf(name);
    if (signal.aborted) return undefined;
    if (agent.taken < most) return this.occupy(name);
    return await new Promise((resolve) => {
      const leave = (): void => {
        agent.waiting.delete(waiter);
        resolve(undefined);
      };
      const waiter = {
        most,
        grant: () => {
          agent.waiting.delete(waiter);
          signal.removeEventListener('abort', leave);
          resolve(this.occupy(name));
        },
      };
      agent.waiting.add(waiter);
      signal.addEventListener('abort', leave, { once: true });
    });
  }

  /** Takes a slot whether there is one or not, for a run that works already. */
  occupy(name: string): () => void {
    const agent = this.#agentOf(name);
    agent.taken += 1;
    let given = false;
    return () => {
      if (given) return;
      given = true;
      agent.taken -= 1;
      const [next] = agent.waiting;
      // A former process may have left more at work than are allowed now.
      if (next !== undefined && agent.taken < next.most) next.grant();
    };
  }

  #agentOf(name: string): Agent {
    const present = this.#agents.get(name);
    if (present !== undefined) return present;
    const created = { taken: 0, waiting: new Set<Waiter>() };
    this.#agents.set(name, created);
    return created;
  }
}

/** Decides what is executed for a prompt: the program that the node's config names, and how it gets the prompt. */
export interface AgentPlan {
  argv: readonly [string, ...string[]];
  /** What the program finds on its stdin; undefined for nothing. */
  input: string | undefined;
}

/** @throws StartFailure `no_such_program`. */
async function planAgent(spec: AgentSpec, agent: AgentConfig, baseEnv: NodeJS.ProcessEnv): Promise<AgentPlan> {
  const [file, ...args] = agent.command;
  const program = await findProgram(file, baseEnv);
  if (agent.prompt === 'argument') return { argv: [program, ...args, spec.prompt], input: undefined };
  const { prompt, run, job, node } = spec;
  const input =
    agent.prompt === 'stdin' ? prompt : `${JSON.stringify({ prompt, agent: spec.agent, run, job, node })}\n`;
  return { argv: [program, ...args], input };
}

/** Never looked for in the run's own PATH: which program an agent is, the node alone says. */
async function findProgram(file: string, baseEnv: NodeJS.ProcessEnv): Promise<string> {
  const folders = (baseEnv.PATH ?? '').split(delimiter).filter((folder) => folder.startsWith('/'));
  const candidates = file.includes('/') ? [file] : folders.map((folder) => join(folder, file));
  for (const candidate of candidates) if (candidate.startsWith('/') && (await isProgram(candidate))) return candidate;
  const where = file.includes('/') ? '' : ` is not in ${baseEnv.PATH}; name its path, or set PATH in node.env`;
  throw new StartFailure(`no_such_program: ${file}${where}`);
}

async function isProgram(path: string): Promise<boolean> {
  try {
    await access(path, constants.X_OK);
    return (await stat(path)).isFile();
  } catch {
    // Not there, or not for us.
    return false;
  }
}
