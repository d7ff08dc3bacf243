/** The queue of one node: starts runs by priority and then in the order in which they were accepted, a few at once, never two of a lane. */
import PQueue from 'p-queue';
import type { Priority } from '../../protocol/priority.ts';

/** p-queue takes the greater first, and keeps the order of equals. */
const PRIORITY: Readonly<Record<Priority, number>> = { high: 1, normal: 0, low: -1 };

export class NodeQueue {
  readonly #queue: PQueue;
  readonly #lanes = new Map<string, PQueue>();

  /** Paused until the node is online. */
  constructor(concurrency: number) {
    this.#queue = new PQueue({ concurrency, autoStart: false });
  }

  /** Calls `carry` when it is this run's turn; resolves when it has ended. `carry` never rejects. */
  async add(lane: string | undefined, carry: () => Promise<void>, priority: Priority = 'normal'): Promise<void> {
    const place = { priority: PRIORITY[priority] };
    if (lane === undefined) return await this.#queue.add(carry, place);
    let queue = this.#lanes.get(lane);
    if (queue === undefined) {
      queue = new PQueue({ concurrency: 1 });
      this.#lanes.set(lane, queue);
    }
    await queue.add(() => this.#queue.add(carry, place), place);
    if (queue.size === 0 && queue.pending === 0 && this.#lanes.get(lane) === queue) this.#lanes.delete(lane);
  }

  /** The node is online: let the next runs begin. */
  resume(): void {
    this.#queue.start();
  }

  /** The node is away: begin nothing new. Runs that have begun wait for it by themselves. */
  pause(): void {
    this.#queue.pause();
  }

  get idle(): boolean {
    return this.#queue.size === 0 && this.#queue.pending === 0 && this.#lanes.size === 0;
  }
}
