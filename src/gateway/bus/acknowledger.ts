/** Tells nodes which runs are stored here for good, so that they may drop the logs: many at once, and out of the way of those that run. */
import type { Clock, Timer } from '../../shared/clock.ts';
import type { Logger } from '../../shared/logger.ts';
import type { NodeClient } from './node-client.ts';

/** Ends that come within it share one fsync, and one request to each node, ms. */
const GATHER_MS = 50;
/** Each is a write of the node's journal, and holds up its commands for as long. */
const MAX_RUNS_AT_ONCE = 200;

/** Pause before acknowledgements that a connected node did not take are repeated, ms. */
const RETRY_MS = 30_000;

interface AcknowledgerOptions {
  /** Resolves when all that is stored survives a power cut: a node that has dropped its log cannot send it again. */
  sync(): Promise<void>;
  /** Undefined when the node is away. */
  clientOf(nodeId: string): NodeClient | undefined;
  /** Whether nothing more of the run is expected of its node. */
  isStored(runId: string): boolean;
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
  add(run: { id: string; nodeId: string }): void {
    const runs = this.#waiting.get(run.nodeId);
    if (runs === undefined) this.#waiting.set(run.nodeId, [run.id]);
    else runs.push(run.id);
    this.#timer ??= this.#options.clock.after(GATHER_MS, () => this.#flush(), { unref: true });
  }

  /** Lets a node that is back drop logs whose acknowledgement was lost with a former tunnel. */
  catchUp(client: NodeClient, nodeName: string): void {
    const { isStored, logger } = this.#options;
    client
      .unacknowledged()
      .then((runs) => this.acknowledge(client, runs.filter(isStored)))
      .catch((error: unknown) => logger.info({ err: error, node: nodeName }, 'could not acknowledge stored runs'));
  }

  /** What is lost by that is asked for when the node is online the next time. */
  close(): void {
    this.#closed = true;
    this.#timer?.cancel();
    this.#waiting.clear();
  }

  #flush(): void {
    const { clientOf, clock, logger } = this.#options;
    const waiting = this.#waiting;
    this.#waiting = new Map();
    this.#timer = undefined;
    for (const [nodeId, runs] of waiting) {
      const client = clientOf(nodeId);
      if (client === undefined) continue;
      this.acknowledge(client, runs).catch((error: unknown) => {
        logger.info({ err: error, runs: runs.length }, 'acknowledgements did not reach the node');
        // One that comes back is asked anyway; one that stays may have met a full disk, here or there.
        clock.after(RETRY_MS, () => this.#again(nodeId, runs), { unref: true });
      });
    }
  }

  #again(nodeId: string, runs: readonly string[]): void {
    if (this.#closed) return;
    for (const id of runs) this.add({ id, nodeId });
  }

  /** At once. */
  async acknowledge(client: NodeClient, runs: string[]): Promise<void> {
    if (runs.length === 0) return;
    await this.#options.sync();
    for (let start = 0; start < runs.length; start += MAX_RUNS_AT_ONCE) {
      const refused = await client.acknowledge(runs.slice(start, start + MAX_RUNS_AT_ONCE));
      if (refused.length > 0) this.#options.logger.warn({ refused }, 'the node did not take an acknowledgement');
    }
  }
}
