/** The states of a run with their legal transitions, and the statuses of a node. */

export const RUN_STATES = [
  'queued',
  'delivered',
  'running',
  'exited',
  'signaled',
  'timed_out',
  'canceled',
  'failed_to_start',
  'rejected',
  'expired',
  'unknown',
] as const;

export type RunState = (typeof RUN_STATES)[number];

/** Every legal step. A state that maps to nothing is terminal. */
export const RUN_TRANSITIONS: Readonly<Record<RunState, readonly RunState[]>> = {
  queued: ['delivered', 'canceled', 'expired', 'rejected'],
  delivered: ['running', 'exited', 'signaled', 'timed_out', 'canceled', 'failed_to_start', 'unknown'],
  running: ['exited', 'signaled', 'timed_out', 'canceled', 'failed_to_start', 'unknown'],
  exited: [],
  signaled: [],
  timed_out: [],
  canceled: [],
  failed_to_start: [],
  rejected: [],
  expired: [],
  unknown: [],
};

/** Whether nothing can follow this state. */
export function isTerminal(state: RunState): boolean {
  return RUN_TRANSITIONS[state].length === 0;
}

/** Whether a run in `from` may go to `to` in one step. */
export function canTransition(from: RunState, to: RunState): boolean {
  return RUN_TRANSITIONS[from].includes(to);
}

/** The statuses of a node, best first; gateway, client and CLI all sort by them. */
export const NODE_STATUSES = ['online', 'limited', 'error', 'offline'] as const;

export type NodeStatus = (typeof NODE_STATUSES)[number];

/** For `sort`: the worse status comes first (offline, error, limited, online). */
export function worstFirst(a: NodeStatus, b: NodeStatus): number {
  return NODE_STATUSES.indexOf(b) - NODE_STATUSES.indexOf(a);
}

/** The worst of them; null when there is none. */
export function worstStatus(statuses: Iterable<NodeStatus>): NodeStatus | null {
  let worst: NodeStatus | null = null;
  for (const status of statuses) {
    if (worst === null || worstFirst(status, worst) < 0) worst = status;
  }
  return worst;
}
