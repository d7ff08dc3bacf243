/** The queue of one node: starts runs in the order in which they were accepted, a few at once, and never two of a lane. */
import PQueue from 'p-queue';

export class NodeQueue {
  readonly #queue: PQueue;
  readonly #lanes = new Map<string, PQueue>();

  /** Paused until the node is online. */
  constructor(concurrency: number) {
    this.#queue = new PQueue({ concurrency, autoStart: false });
  }

  /** Calls `carry` when it is this run's turn; resolves when it has ended. `carry` never rejects. */
  async add(lane: string | undefined, carry: () => Promise<void>): Promise<void> {
    if (lane === undefined) return await this.#queue.add(carry);
    let queue = this.#lanes.get(lane);
    if (queue === undefined) {
      queue = new PQueue({ concurrency: 1 });
      this.#lanes.set(lane, queue);
    }
    await queue.add(() => this.#queue.add(carry));
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
