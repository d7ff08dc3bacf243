/** Ends a node's membership: when it is revoked or removed, its connections are cut, and everything that holds something for it lets go. */
import type { Clock } from '../../shared/clock.ts';
import type { Logger } from '../../shared/logger.ts';
import type { KeyConnections } from '../../shared/ssh/server/peers.ts';
import type { NodeRecord, NodesStore } from './nodes-table.ts';
import type { Sessions } from './sessions.ts';

export interface NodeRemovalOptions {
  store: NodesStore;
  sessions: Sessions;
  connections: Pick<KeyConnections, 'cut'>;
  /** Gives up the node's open runs, for this reason. */
  abandonRuns(nodeId: string, reason: string): Promise<void>;
  /** Drops what is remembered of a removed node. */
  forget(nodeId: string): void;
  clock: Clock;
  logger: Logger;
}

export class NodeRemoval {
  readonly #options: NodeRemovalOptions;

  constructor(options: NodeRemovalOptions) {
    this.#options = options;
  }

  /** Its key is refused from now on; it stays in the list. `by` names who asked for it. */
  async revoke(node: NodeRecord, by: string): Promise<void> {
    const { store, clock, logger } = this.#options;
    await store.write(() => store.nodes.revoke(node.id, clock.now()));
    await this.#end(node, 'revoked');
    logger.warn({ node: node.name, by }, 'node revoked');
  }

  /** Forgets the node and its key; its jobs stay in the record. `alsoStore` writes in the same transaction. */
  async remove(node: NodeRecord, by: string, alsoStore?: () => void): Promise<void> {
    const { store, clock } = this.#options;
    await store.write(() => {
      store.nodes.remove(node.id, clock.now());
      alsoStore?.();
    });
    await this.finish(node, by);
  }

  /** The rest of a removal, once the node is no longer in the store. */
  async finish(node: NodeRecord, by: string): Promise<void> {
    await this.#end(node, 'removed');
    this.#options.forget(node.id);
    this.#options.logger.warn({ node: node.name, by }, 'node removed');
  }

  async #end({ id, name, publicKey }: NodeRecord, reason: 'revoked' | 'removed'): Promise<void> {
    const { sessions, connections, abandonRuns, logger } = this.#options;
    sessions.close(id, reason);
    connections.cut(publicKey, reason);
    // The node is gone whether this can be stored or not; what cannot is given up at the next start.
    await abandonRuns(id, `node_${reason}: what became of it is not known`).catch((error: unknown) =>
      logger.error({ err: error, node: name }, 'could not give up the runs of a revoked or removed node'),
    );
  }
}
