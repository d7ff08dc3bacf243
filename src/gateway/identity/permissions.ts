/** Which roles may do what. Every route names one of these actions; a test fails for one that does not. */
import type { Role } from '../../domain/vocabulary.ts';

/** A key that is not in the database may only pair. */
export type CallerRole = Role | 'unknown';

export const PERMISSIONS = {
  /** Request a challenge and answer it. */
  pair: ['unknown', 'node', 'viewer', 'operator', 'admin'],
  /** Speak for oneself: hello, heartbeats. */
  'node.self': ['node'],
  /** See nodes, jobs, outputs, health. */
  'fleet.read': ['viewer', 'operator', 'admin'],
  /** Run and cancel jobs. */
  'jobs.run': ['operator', 'admin'],
  /** Silence alerts, and test receivers. */
  'alerts.manage': ['operator', 'admin'],
  /** Approve, rename, label, revoke, remove. */
  'nodes.manage': ['admin'],
  /** See the audit log. */
  'audit.read': ['admin'],
  /** Add, change and remove schedules, which outlive their author and write files on the gateway's machine. */
  'schedules.manage': ['admin'],
  /** Create, list and revoke invites for nodes and people. */
  'invites.manage': ['admin'],
  /** List the keys of people and nodes, and revoke them. */
  'keys.manage': ['admin'],
  /** Stop the gateway. */
  'gateway.manage': ['admin'],
} as const satisfies Record<string, readonly CallerRole[]>;

export type Action = keyof typeof PERMISSIONS;

/** They change nothing, or (pairing, a node's own reports) write their own audit rows. Every other action leaves a row each time. */
const UNAUDITED: readonly Action[] = ['pair', 'node.self', 'fleet.read', 'audit.read'];

export function isAudited(action: Action, method: string): boolean {
  return method !== 'GET' && method !== 'HEAD' && !UNAUDITED.includes(action);
}

export function isAllowed(role: CallerRole, action: Action): boolean {
  return (PERMISSIONS[action] as readonly CallerRole[]).includes(role);
}
