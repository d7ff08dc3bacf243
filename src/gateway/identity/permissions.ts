/** Who may do what, at a glance. Every route names one of these actions; a test fails for one that does not. */
import type { Role } from '../../protocol/roles.ts';

/** A key that is not in the database may only pair. */
export type CallerRole = Role | 'unknown';

export const PERMISSIONS = {
  /** Ask for a challenge and answer it. */
  pair: ['unknown', 'node', 'viewer', 'operator', 'admin'],
  /** Speak for oneself: hello, heartbeats. */
  'node.self': ['node'],
  /** See nodes, jobs, outputs, health. */
  'fleet.read': ['viewer', 'operator', 'admin'],
  /** Run and cancel jobs. */
  'jobs.run': ['operator', 'admin'],
  /** Invite, approve, rename, label, revoke, remove. */
  'nodes.manage': ['admin'],
  /** Stop the gateway. */
  'gateway.manage': ['admin'],
} as const satisfies Record<string, readonly CallerRole[]>;

export type Action = keyof typeof PERMISSIONS;

export function isAllowed(role: CallerRole, action: Action): boolean {
  return (PERMISSIONS[action] as readonly CallerRole[]).includes(role);
}
