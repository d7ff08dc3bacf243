/** The agents of this node, as its runs need them: who is there, how a prompt reaches it, and how many may work at once. */
import type { StartedAgent } from '../../domain/agent/agent-spec.ts';
import type { AgentSpec, RunSpec } from '../../protocol/run-spec.ts';
import { FleetError } from '../../shared/errors.ts';
import { StartFailure } from '../shim/start-failure.ts';
import type { AgentConfig, AgentsConfig } from './agent-config.ts';
import { type AgentPlan, planAgent } from './agent-plan.ts';
import { AgentSlots } from './agent-slots.ts';

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
