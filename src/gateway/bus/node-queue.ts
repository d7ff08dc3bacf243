/**
 * The queue of one node: starts runs by priority and then in the order in which they were accepted, a few at once, never two of a lane,
 * and no more prompts of an agent than it works on.
 */
import PQueue from 'p-queue';
import type { Priority } from '../../protocol/priority.ts';

/** Of a queue before that one, that holds prompts of this agent back. */
const AGENT_GATE = 'agent ';
/** p-queue takes the greater first, and keeps the order of equals. */
const PRIORITY: Readonly<Record<Priority, number>> = { high: 1, normal: 0, low: -1 };

/** What a run is queued behind. */
export interface Place {
  lane?: string | undefined;
  /** Of a prompt: its agent, and how many prompts of that the node works on at once, asked when its lane lets it through. */
  agent?: { name: string; most(): number } | undefined;
  priority?: Priority | undefined;
  /** Whether the node may have it already, from a former process. */
  begun?: boolean | undefined;
}

export class NodeQueue {
  readonly #queue: PQueue;
  /** Queues before that one, of lanes and of agents; only while something is in them. */
  readonly #gates = new Map<string, PQueue>();

  /** Paused until the node is online. */
  constructor(concurrency: number) {
    this.#queue = new PQueue({ concurrency, autoStart: false });
  }

  /** Calls `carry` when it is this run's turn; resolves when it has ended. `carry` never rejects. */
  add({ lane, agent, priority = 'normal', begun = false }: Place, carry: () => Promise<void>): Promise<void> {
    const place = { priority: PRIORITY[priority] };
    let turn = (): Promise<void> => this.#queue.add(carry, place);
    // Each waits outside of the next: what its lane or its agent holds up must not take a place from others.
    if (agent !== undefined) {
      const name = `${AGENT_GATE}${agent.name}`;
      turn = begun ? this.#counted(name, agent.most, turn) : this.#gated(name, agent.most, turn, place);
    }
    if (lane !== undefined) turn = this.#gated(`lane ${lane}`, () => 1, turn, place);
    return turn();
  }

  /** The node is back, and may have other limits than when the runs that wait were queued. */
  limitAgents(mostOf: (agent: string) => number): void {
    for (const [name, gate] of this.#gates) {
      if (!name.startsWith(AGENT_GATE)) continue;
      gate.concurrency = mostOf(name.slice(AGENT_GATE.length));
    }
  }

  #gated(
    name: string,
    most: () => number,
    turn: () => Promise<void>,
    place: { priority: number },
  ): () => Promise<void> {
    return async () => {
      const concurrency = most();
      const gate = this.#gates.get(name) ?? new PQueue({ concurrency });
      this.#gates.set(name, gate);
      // The node may have come back with another limit.
      if (gate.concurrency !== concurrency) gate.concurrency = concurrency;
      await gate.add(turn, place);
      if (gate.size === 0 && gate.pending === 0 && this.#gates.get(name) === gate) this.#gates.delete(name);
    };
  }

  /**
   * Through the gate without waiting, but counted: there may be more at work than the node takes now, or another one may have been first
   * by its place in the queue; and nobody could cancel, nor follow, what is not carried.
   */
  #counted(name: string, most: () => number, turn: () => Promise<void>): () => Promise<void> {
    return () => {
      const ended = turn();
      void this.#gated(name, most, () => ended, { priority: Number.POSITIVE_INFINITY })();
      return ended;
    };
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
    return this.#queue.size === 0 && this.#queue.pending === 0 && this.#gates.size === 0;
  }
}
