/** Tells nodes which runs are stored here durably, so that they may delete the logs: in batches, out of the way of running commands. */
import type { Clock, Timer } from '../../shared/clock.ts';
import type { Logger } from '../../shared/logger.ts';
import type { NodeClient, NodeClients } from './node-client.ts';
import { isOver } from './run-facts.ts';
import type { BusStore } from './runs-table.ts';

/** Ends within this time share one fsync, and one request to each node, ms. */
const GATHER_MS = 50;
/** Most runs per request: each is a write to the node's journal, which delays its commands. */
const MAX_RUNS = 200;
/** Pause before acknowledgements that a connected node did not accept are repeated, ms. */
const RETRY_MS = 30_000;

interface AcknowledgerOptions {
  store: Pick<BusStore, 'sync' | 'runs'>;
  nodes: NodeClients;
  clock: Clock;
  logger: Logger;
}

export class Acknowledger {
  readonly #options: AcknowledgerOptions;
  #waiting = new Map<string, string[]>();
  #timer: Timer | undefined;
  #closed = false;

  constructor(options: AcknowledgerOptions) {
    this.#options = options;
  }

  /** The run's end and all of its log are stored. */
  add({ id, nodeId }: { id: string; nodeId: string }): void {
    if (this.#closed) return;
    const runs = this.#waiting.get(nodeId);
    if (runs === undefined) this.#waiting.set(nodeId, [id]);
    else runs.push(id);
    this.#timer ??= this.#options.clock.after(GATHER_MS, () => this.#flush(), { unref: true });
  }

  /** Repeats acknowledgements that were lost with an earlier connection of the node. */
  catchUp(client: NodeClient): void {
    const { store, logger } = this.#options;
    const isStored = (id: string): boolean => {
      const run = store.runs.byId(id);
      return run === undefined || isOver(run);
    };
    client
      .unacknowledged()
      .then((runs) => this.#acknowledge(client, runs.filter(isStored)))
      .catch((error: unknown) =>
        logger.info({ err: error, node: client.link.nodeName }, 'could not acknowledge stored runs'),
      );
  }

  /** What is lost by this is repeated when the node is online the next time. */
  close(): void {
    this.#closed = true;
    this.#timer?.cancel();
    this.#waiting.clear();
  }

  #flush(): void {
    const { nodes, clock, logger } = this.#options;
    const waiting = this.#waiting;
    this.#waiting = new Map();
    this.#timer = undefined;
    for (const [nodeId, runs] of waiting) {
      const client = nodes.online(nodeId);
      if (client === undefined) continue;
      this.#acknowledge(client, runs).catch((error: unknown) => {
        logger.info({ err: error, runs: runs.length }, 'acknowledgements did not reach the node');
        // For a node that stays connected: a disk may have been full, here or there.
        const again = (): void => {
          for (const id of runs) this.add({ id, nodeId });
        };
        clock.after(RETRY_MS, again, { unref: true });
      });
    }
  }

  async #acknowledge(client: NodeClient, runs: string[]): Promise<void> {
    if (runs.length === 0) return;
    const { store, logger } = this.#options;
    // A node that has deleted its log cannot send it again after a power cut here.
    await store.sync();
    for (let start = 0; start < runs.length; start += MAX_RUNS) {
      const refused = await client.acknowledge(runs.slice(start, start + MAX_RUNS));
      if (refused.length > 0) logger.warn({ refused }, 'the node did not accept an acknowledgement');
    }
  }
}
