/** The four words for how a node is, and which of two is worse: gateway, client and CLI all sort by it. DESIGN: "Health". */

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
