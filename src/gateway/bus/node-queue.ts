/**
 * The queue of one node: starts runs by priority and then in the order in which they were accepted, a few at once, never two of a lane,
 * and no more prompts of an agent than it works on.
 */
import PQueue from 'p-queue';
import type { Priority } from '../../domain/vocabulary.ts';
import type { NodeFacts } from '../../protocol/node-messages.ts';
import type { JobRecord } from './jobs-table.ts';
import { agentLimit } from './run-facts.ts';
import type { RunRecord } from './runs-table.ts';

/** Of a queue before that one, that holds prompts of this agent back. */
const AGENT_GATE = 'agent ';
/** p-queue takes the greater first, and keeps the order of equals. */
const PRIORITY: Readonly<Record<Priority, number>> = { high: 1, normal: 0, low: -1 };

/** What a run is queued behind. */
interface Place {
  lane?: string | undefined;
  /** Of a prompt: its agent, and how many prompts of that the node works on at once, asked when its lane lets it through. */
  agent?: { name: string; most(): number } | undefined;
  priority?: Priority | undefined;
  /** Whether the node may have it already, from a former process. */
  begun?: boolean | undefined;
  /** Whether its command has exited, and only its output goes on: it holds its lane, and takes no place. */
  exited?: boolean | undefined;
  /** Called when the node is away before the run's turn has come: somebody else may want what it holds. */
  onAway?: (() => void) | undefined;
}

export function placeOf({ options }: JobRecord, run: RunRecord, facts: () => NodeFacts | null | undefined): Place {
  const { lane, priority, agent: name } = options;
  const agent = name === undefined ? undefined : { name, most: () => agentLimit(facts(), name) };
  return { lane, priority, agent, begun: run.handedOverAt !== null, exited: run.exited !== null };
}

export class NodeQueue {
  readonly #queue: PQueue;
  /** Queues before that one, of lanes and of agents; only while something is in them. */
  readonly #gates = new Map<string, PQueue>();
  readonly #onAway = new Set<() => void>();

  /** Paused until the node is online. */
  constructor(concurrency: number) {
    this.#queue = new PQueue({ concurrency, autoStart: false });
  }

  /**
   * Calls `carry` when it is this run's turn; resolves when it has ended, or has left the queue because `signal` aborted. `carry` never
   * rejects; it may say before its end that the command has exited, which gives the place to the next, but not the lane.
   */
  async add(
    { lane, agent, priority = 'normal', begun = false, exited = false, onAway }: Place,
    carry: (onExited: () => void) => Promise<void>,
    signal?: AbortSignal,
  ): Promise<void> {
    const place = { priority: PRIORITY[priority], ...(signal === undefined ? {} : { signal }) };
    const over = Promise.withResolvers<void>();
    let carried = Promise.resolve();
    const start = (): Promise<void> => {
      if (onAway !== undefined) this.#onAway.delete(onAway);
      carried = carry(over.resolve);
      return Promise.race([carried, over.promise]);
    };
    let turn = (): Promise<void> => this.#queue.add(start, place);
    // Each waits outside of the next: what its lane or its agent holds up must not take a place from others.
    if (agent !== undefined) {
      const name = `${AGENT_GATE}${agent.name}`;
      turn = begun ? this.#counted(name, agent.most, turn) : this.#gated(name, agent.most, turn, place);
    }
    const first = exited ? start : turn;
    let whole = async (): Promise<void> => {
      await first();
      await carried;
    };
    if (lane !== undefined) whole = this.#gated(`lane ${lane}`, () => 1, whole, place);
    if (onAway !== undefined) this.#onAway.add(onAway);
    const left = whole();
    if (this.#queue.isPaused) onAway?.();
    try {
      await left;
    } catch (error) {
      if (signal?.aborted !== true) throw error;
    } finally {
      if (onAway !== undefined) this.#onAway.delete(onAway);
    }
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
    place: { priority: number; signal?: AbortSignal },
  ): () => Promise<void> {
    return async () => {
      const concurrency = most();
      const gate = this.#gates.get(name) ?? new PQueue({ concurrency });
      this.#gates.set(name, gate);
      // The node may have come back with another limit.
      if (gate.concurrency !== concurrency) gate.concurrency = concurrency;
      try {
        await gate.add(turn, place);
      } finally {
        if (gate.size === 0 && gate.pending === 0 && this.#gates.get(name) === gate) this.#gates.delete(name);
      }
    };
  }

  /**
   * Through the gate without waiting, but counted: there may be more at work than the node takes now, or another one may have been first
   * by its place in the queue; and nobody could cancel, nor follow, what is not carried.
   */
  #counted(name: string, most: () => number, turn: () => Promise<void>): () => Promise<void> {
    return () => {
      const ended = turn();
      const over = ended.catch(() => {});
      void this.#gated(name, most, () => over, { priority: Number.POSITIVE_INFINITY })();
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
    for (const onAway of this.#onAway) onAway();
  }

  get idle(): boolean {
    return this.#queue.size === 0 && this.#queue.pending === 0 && this.#gates.size === 0;
  }
}
