/** Keeps an agent from working on more prompts at once than the node's config allows: the others wait, first come, first served. */

interface Waiter {
  most: number;
  grant(): void;
}

interface Agent {
  taken: number;
  waiting: Set<Waiter>;
}

export class AgentSlots {
  readonly #agents = new Map<string, Agent>();

  /**
   * Resolves with what gives the slot back (idempotent), once there is one of `most`; undefined when `signal` aborts before that.
   */
  async take(name: string, most: number, signal: AbortSignal): Promise<(() => void) | undefined> {
    const agent = this.#agentOf(name);
    if (signal.aborted) return undefined;
    if (agent.taken < most) return this.occupy(name);
    return await new Promise((resolve) => {
      const leave = (): void => {
        agent.waiting.delete(waiter);
        resolve(undefined);
      };
      const waiter = {
        most,
        grant: () => {
          agent.waiting.delete(waiter);
          signal.removeEventListener('abort', leave);
          resolve(this.occupy(name));
        },
      };
      agent.waiting.add(waiter);
      signal.addEventListener('abort', leave, { once: true });
    });
  }

  /** Takes a slot whether there is one or not, for a run that works already. */
  occupy(name: string): () => void {
    const agent = this.#agentOf(name);
    agent.taken += 1;
    let given = false;
    return () => {
      if (given) return;
      given = true;
      agent.taken -= 1;
      const [next] = agent.waiting;
      // A former process may have left more at work than are allowed now.
      if (next !== undefined && agent.taken < next.most) next.grant();
    };
  }

  #agentOf(name: string): Agent {
    const present = this.#agents.get(name);
    if (present !== undefined) return present;
    const created = { taken: 0, waiting: new Set<Waiter>() };
    this.#agents.set(name, created);
    return created;
  }
}
