/** All commands of a node: carries out what the node's process orders, and remembers each command until that has recorded its end. */
import type { AdoptOrder, CommandState, ShimEvent, ShimRequest, StartedCommand, StartOrder } from './messages.ts';
import { SupervisedCommand, type SupervisedCommandContext } from './supervised-command.ts';

export class Supervisor {
  readonly #context: SupervisedCommandContext;
  readonly #commands = new Map<string, SupervisedCommand>();

  constructor(context: Omit<SupervisedCommandContext, 'emit'>, onEvent: (event: ShimEvent) => void) {
    this.#context = { ...context, emit: onEvent };
  }

  get states(): CommandState[] {
    return [...this.#commands.values()].map((command) => command.state);
  }

  /** Whether every command has ended. */
  get idle(): boolean {
    return this.states.every(({ end }) => end !== null);
  }

  /** @throws Error when the run is known, and what starting throws. */
  async start(order: StartOrder): Promise<StartedCommand> {
    const command = this.#add(order);
    try {
      return await command.start(order);
    } catch (error) {
      this.#commands.delete(order.run);
      throw error;
    }
  }

  adopt(order: AdoptOrder): void {
    this.#add(order).adopt(order);
  }

  /** For the requests that name a run; one that is not known needs nothing. */
  handle(request: Extract<ShimRequest, { do: 'finish' | 'close-stdin' | 'forget' }>): void {
    const command = this.#commands.get(request.run);
    switch (request.do) {
      case 'finish':
        void command?.finish();
        return;
      case 'close-stdin':
        command?.closeStdin();
        return;
      case 'forget':
        this.#commands.delete(request.run);
    }
  }

  #add(order: StartOrder | AdoptOrder): SupervisedCommand {
    // The journal sees to it that this never happens; were it otherwise, a command must not run twice.
    if (this.#commands.has(order.run)) throw new Error(`${order.run} is known already`);
    const command = new SupervisedCommand(order, this.#context);
    this.#commands.set(order.run, command);
    return command;
  }
}
