/**
 * The queue of one node. Runs start by priority, then in the order in which they were accepted: a few at a time, never two of one lane,
 * and no more prompts of an agent than the node works on at once. Everything here is synchronous and in memory.
 */
import type { Priority } from '../../domain/vocabulary.ts';

/** A run in a queue. */
export interface Queued {
  readonly lane?: string | undefined;
  /** The agent of a prompt. */
  readonly agent?: string | undefined;
  readonly priority?: Priority | undefined;
  /** The node may have it already, from an earlier process. */
  readonly begun?: boolean;
  /** Its command has exited and only its output continues: it holds its lane, but no slot. */
  readonly exited?: boolean;
  /** Called when its turn has come, possibly within {@link NodeQueue.add}. */
  onTurn(): void;
  /** Called when the node is away before its turn has come. */
  onAway?(): void;
}

/** A run on its way through the gates; it holds those that it has passed. */
interface Pass {
  entry: Queued;
  /** Names of the gates still to pass. */
  ahead: string[];
  waitsAt: Gate | undefined;
  held: Gate[];
}

const NODE = 'node';
const AGENT = 'agent ';

export class NodeQueue {
  readonly #passes = new Map<Queued, Pass>();
  readonly #node: Gate;
  /** Gates of lanes and agents, while runs are at or behind them. */
  readonly #gates = new Map<string, Gate>();
  readonly #agentLimit: (agent: string) => number;

  /** Paused until {@link resume}. `agentLimit` says how many prompts of an agent the node works on at once. */
  constructor(concurrency: number, agentLimit: (agent: string) => number = () => Number.POSITIVE_INFINITY) {
    this.#node = new Gate(concurrency, (pass) => this.#advance(pass));
    this.#node.isOpen = false;
    this.#agentLimit = agentLimit;
  }

  add(entry: Queued): void {
    const { lane, agent, exited = false } = entry;
    // In this order, so that a run held up by its lane or its agent takes no slot from others.
    const ahead = lane === undefined ? [] : [`lane ${lane}`];
    if (!exited && agent !== undefined) ahead.push(AGENT + agent);
    if (!exited) ahead.push(NODE);
    const pass = { entry, ahead, waitsAt: undefined, held: [] };
    this.#passes.set(entry, pass);
    this.#advance(pass);
    if (!this.#node.isOpen) callOnAway(pass);
  }

  /** The command has exited, but its output continues: frees everything but the lane. */
  exited(entry: Queued): void {
    const held = this.#passes.get(entry)?.held ?? [];
    for (const gate of held.splice(entry.lane === undefined ? 0 : 1)) gate.release();
  }

  /** The run has ended, or leaves the queue. Idempotent. */
  remove(entry: Queued): void {
    const pass = this.#passes.get(entry);
    if (pass === undefined) return;
    this.#passes.delete(entry);
    pass.waitsAt?.cancel(pass);
    for (const gate of pass.held) gate.release();
    for (const name of [`lane ${entry.lane}`, AGENT + entry.agent]) {
      if (this.#gates.get(name)?.isIdle) this.#gates.delete(name);
    }
  }

  /** The node is online, possibly with other limits. */
  resume(): void {
    for (const [name, gate] of this.#gates) {
      if (!name.startsWith(AGENT)) continue;
      gate.limit = this.#agentLimit(name.slice(AGENT.length));
      gate.admit();
    }
    this.#node.isOpen = true;
    this.#node.admit();
  }

  /** The node is away: starts nothing new. Runs whose turn has come wait for the node themselves. */
  pause(): void {
    this.#node.isOpen = false;
    for (const pass of [...this.#passes.values()]) callOnAway(pass);
  }

  get isIdle(): boolean {
    return this.#passes.size === 0;
  }

  #advance(pass: Pass): void {
    const { entry, ahead } = pass;
    const name = ahead.shift();
    if (name === undefined) {
      entry.onTurn();
      return;
    }
    const gate = this.#gateOf(name);
    if (name.startsWith(AGENT)) gate.limit = this.#agentLimit(name.slice(AGENT.length));
    // What the node may have already must be followed, whatever its agent's limit is now; it only counts.
    if (name.startsWith(AGENT) && entry.begun) gate.enter(pass);
    else gate.request(pass);
  }

  #gateOf(name: string): Gate {
    if (name === NODE) return this.#node;
    let gate = this.#gates.get(name);
    if (gate === undefined) {
      gate = new Gate(1, (pass) => this.#advance(pass));
      this.#gates.set(name, gate);
    }
    return gate;
  }
}

function callOnAway({ entry, waitsAt }: Pass): void {
  if (waitsAt !== undefined) entry.onAway?.();
}

/** Lets a limited number of runs through at once, by priority and then in order. */
class Gate {
  limit: number;
  isOpen = true;
  readonly #onEnter: (pass: Pass) => void;
  readonly #waiting: Readonly<Record<Priority, Set<Pass>>> = { high: new Set(), normal: new Set(), low: new Set() };
  #inside = 0;

  constructor(limit: number, onEnter: (pass: Pass) => void) {
    this.limit = limit;
    this.#onEnter = onEnter;
  }

  request(pass: Pass): void {
    pass.waitsAt = this;
    this.#waiting[pass.entry.priority ?? 'normal'].add(pass);
    this.admit();
  }

  cancel(pass: Pass): void {
    this.#waiting[pass.entry.priority ?? 'normal'].delete(pass);
  }

  /** Without waiting, whatever the limit. */
  enter(pass: Pass): void {
    this.#inside += 1;
    pass.waitsAt = undefined;
    pass.held.push(this);
    this.#onEnter(pass);
  }

  release(): void {
    this.#inside -= 1;
    this.admit();
  }

  admit(): void {
    while (this.isOpen && this.#inside < this.limit) {
      const next = this.#next();
      if (next === undefined) return;
      this.cancel(next);
      this.enter(next);
    }
  }

  get isIdle(): boolean {
    return this.#inside === 0 && this.#next() === undefined;
  }

  #next(): Pass | undefined {
    for (const passes of Object.values(this.#waiting)) for (const pass of passes) return pass;
    return undefined;
  }
}
