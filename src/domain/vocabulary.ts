/** How urgent a run is among those that wait beside it. */

/** How urgent a run is among those that wait beside it. */
export const PRIORITIES = ['high', 'normal', 'low'] as const;

export type Priority = (typeof PRIORITIES)[number];

/** Who a key can be. */
export const ROLES = ['node', 'viewer', 'operator', 'admin'] as const;

export type Role = (typeof ROLES)[number];

/** Roles of people, the least first. */
export const PERSON_ROLES = ['viewer', 'operator', 'admin'] as const;

export type PersonRole = (typeof PERSON_ROLES)[number];

/** If the previous run is still in progress: skip this one, let it wait, or cancel the previous one. */
export const OVERLAPS = ['skip', 'queue', 'replace'] as const;
export type Overlap = (typeof OVERLAPS)[number];

/** Of the times missed while the gateway was down: run none, the latest, or all. */
export const CATCH_UPS = ['none', 'once', 'all'] as const;
export type CatchUp = (typeof CATCH_UPS)[number];

export const REPORT_FORMATS = ['text', 'json', 'md', 'html', 'csv'] as const;

/** `time`: on schedule; `catch_up`: late, because the gateway was down; `hand`: on request. */
export const FIRING_CAUSES = ['time', 'catch_up', 'hand'] as const;
export type FiringCause = (typeof FIRING_CAUSES)[number];

/** `waiting` for the one before, `started`, and the ends. `missed` was never begun, `skipped` because of the overlap policy. */
export const FIRING_STATES = ['waiting', 'started', 'succeeded', 'failed', 'skipped', 'missed'] as const;
export type FiringState = (typeof FIRING_STATES)[number];

/** The states that are ends. */
export const FIRING_OUTCOMES = ['succeeded', 'failed', 'skipped', 'missed'] as const satisfies readonly FiringState[];
export type FiringOutcome = (typeof FIRING_OUTCOMES)[number];

/** Lower case, foreign characters to dashes, the domain cut off; `node` when nothing is left. */
export function sanitizeName(hostname: string): string {
  const short = hostname.split('.')[0] ?? '';
  const name = short
    .toLowerCase()
    .replace(/[^a-z0-9-]+/g, '-')
    .replace(/^-+/, '')
    .slice(0, 63)
    .replace(/-+$/, '');
  return name === '' ? 'node' : name;
}

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
