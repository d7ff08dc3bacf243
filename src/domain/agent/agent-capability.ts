/** How a node advertises its agents. Apart from the schemas, because the CLI reads it and must start fast. */

const CAPABILITY_PREFIX = 'agent:';

/** The capability of a node that has the agent, such as `agent:coder`. */
export function agentCapability(agent: string): string {
  return `${CAPABILITY_PREFIX}${agent}`;
}

/** The agents among a node's capabilities, in their order. */
export function agentsOf(capabilities: readonly string[]): string[] {
  return capabilities
    .filter((capability) => capability.startsWith(CAPABILITY_PREFIX))
    .map((capability) => capability.slice(CAPABILITY_PREFIX.length));
}
