/** Picks, of many nodes, the one that a job for any of them goes to. */
import { agentCapability } from '../../domain/agent/agent-capability.ts';
import { compareNatural } from '../../domain/natural-order.ts';
import type { NodeStatus } from '../../domain/node-status.ts';

export interface PickableNode {
  name: string;
  status: NodeStatus | 'revoked';
  capabilities: readonly string[];
  /** Runs that have not ended. */
  runsActive: number;
  /** Null when the node has not told. */
  cpuPct: number | null;
}

/** Those that are only `limited` come last; others take no work. */
const ORDER: readonly string[] = ['online', 'limited'];

/** The least busy one that is there and has the agent: by runs, then by processor, then by name. */
export function pickNode<N extends PickableNode>(nodes: readonly N[], agent: string): N | undefined {
  const capability = agentCapability(agent);
  const able = nodes.filter(({ status, capabilities }) => ORDER.includes(status) && capabilities.includes(capability));
  return able.sort(compareLoad)[0];
}

function compareLoad(a: PickableNode, b: PickableNode): number {
  return (
    ORDER.indexOf(a.status) - ORDER.indexOf(b.status) ||
    a.runsActive - b.runsActive ||
    (a.cpuPct ?? 100) - (b.cpuPct ?? 100) ||
    compareNatural(a.name, b.name)
  );
}
