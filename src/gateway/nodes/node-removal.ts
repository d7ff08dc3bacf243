/** Ends a node's membership: revoked or forgotten, its connections are cut and its open runs are given up. */
import type { Clock } from '../../shared/clock.ts';
import type { Logger } from '../../shared/logger.ts';
import type { KeyConnections } from '../../shared/ssh/key-connections.ts';
import type { Bus } from '../bus/bus.ts';
import type { ConnectEpochs } from '../identity/connect-epochs.ts';
import type { HealthMonitor } from '../monitoring/judge/monitor.ts';
import type { NodeRecord, NodesStore } from './nodes-table.ts';
import type { Sessions } from './sessions.ts';

export interface NodeRemovalOptions {
  store: NodesStore;
  sessions: Sessions;
  connections: Pick<KeyConnections, 'cut'>;
  bus: Pick<Bus, 'abandon'>;
  monitor: HealthMonitor;
  epochs: ConnectEpochs;
  clock: Clock;
  logger: Logger;
}

/** Its key is refused from now on; it stays in the list. `by` is who wanted it. */
export async function revokeNode(node: NodeRecord, by: string, options: NodeRemovalOptions): Promise<void> {
  const { store, sessions, connections, clock, logger } = options;
  await store.write(() => store.nodes.revoke(node.id, clock.now()));
  sessions.close(node.id, 'revoked');
  connections.cut(node.publicKey, 'revoked');
  await giveUpRuns(node, 'node_revoked', options);
  logger.warn({ node: node.name, by }, 'node revoked');
}

/** Forgets it, and its key; its jobs stay in the record. `alsoStore` writes in the same transaction. */
export async function removeNode(
  node: NodeRecord,
  by: string,
  options: NodeRemovalOptions,
  alsoStore?: () => void,
): Promise<void> {
  const { store, clock } = options;
  await store.write(() => {
    store.nodes.remove(node.id, clock.now());
    alsoStore?.();
  });
  await endRemoved(node, by, options);
}

/** What follows once a node is no longer in the store. */
export async function endRemoved(node: NodeRecord, by: string, options: NodeRemovalOptions): Promise<void> {
  const { sessions, connections, monitor, epochs, logger } = options;
  sessions.close(node.id, 'removed');
  connections.cut(node.publicKey, 'removed');
  await giveUpRuns(node, 'node_removed', options);
  monitor.forget(node.id);
  epochs.forget(node.id);
  logger.warn({ node: node.name, by }, 'node removed');
}

/** The node is gone whether that can be stored or not; what could not is given up at the next start. */
async function giveUpRuns({ id, name }: NodeRecord, cause: string, { bus, logger }: NodeRemovalOptions): Promise<void> {
  await bus.abandon(id, `${cause}: what became of it is not known`).catch((error: unknown) => {
    logger.error({ err: error, node: name }, 'could not give up the runs of a node that is gone');
  });
}
