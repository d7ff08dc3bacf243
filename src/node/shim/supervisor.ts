/** All commands of a node: carries out orders, and remembers each command until the node's process has recorded its end. */
import type {
  AdoptOrder,
  CommandState,
  LivePiece,
  RunRequest,
  ShimEvent,
  StartedCommand,
  StartOrder,
} from './messages.ts';
import { SupervisedCommand, type SupervisedCommandContext } from './supervised-command.ts';

/** Number of commands at which a login's limit on open files becomes too low for this process. */
const MANY_COMMANDS = 150;

export class Supervisor {
  readonly #context: SupervisedCommandContext;
  readonly #commands = new Map<string, SupervisedCommand>();
  readonly #onMany: (() => void) | undefined;
  readonly #starting = new Set<Promise<unknown>>();

  constructor(context: Omit<SupervisedCommandContext, 'emit'>, emit: (event: ShimEvent) => void, onMany?: () => void) {
    this.#context = { ...context, emit };
    this.#onMany = onMany;
  }

  /** Waits for commands that are being started. */
  async states(): Promise<CommandState[]> {
    while (this.#starting.size > 0) await Promise.allSettled(this.#starting);
    return [...this.#commands.values()].map((command) => command.state);
  }

  /** Whether every command has ended and its end was recorded. */
  get isEmpty(): boolean {
    return this.#commands.size === 0;
  }

  /** Whether every command has ended. */
  get idle(): boolean {
    return [...this.#commands.values()].every(({ ended }) => ended);
  }

  /** @throws Error when the run is known, and what starting throws. */
  async start(order: StartOrder): Promise<StartedCommand> {
    const starting = this.#add(order).start(order);
    this.#starting.add(starting);
    try {
      return await starting;
    } catch (error) {
      this.#commands.delete(order.run);
      throw error;
    } finally {
      this.#starting.delete(starting);
    }
  }

  adopt(order: AdoptOrder): void {
    this.#add(order).adopt(order);
  }

  /** The next output of a run whose output a follower takes whole; null when it isn't available. */
  async live(run: string, from: number): Promise<LivePiece> {
    return (await this.#commands.get(run)?.live?.read(from)) ?? null;
  }

  handle(request: RunRequest): void {
    const command = this.#commands.get(request.run);
    if (request.do === 'finish') void command?.finish();
    else if (request.do === 'close-stdin') command?.closeStdin();
    else if (request.do === 'attend') command?.live?.attend(request.forMs);
    else {
      this.#commands.delete(request.run);
      void command?.forget();
    }
  }

  /** Ends can no longer be recorded: forgets ended commands, and for the others waits only for their own exits. */
  async abandon(): Promise<void> {
    for (const [run, command] of this.#commands) {
      command.abandon();
      if (!command.ended) continue;
      this.#commands.delete(run);
      await command.forget();
    }
  }

  #add(order: StartOrder | AdoptOrder): SupervisedCommand {
    // The journal prevents this; otherwise a command would run twice.
    if (this.#commands.has(order.run)) throw new Error(`${order.run} is known already`);
    const command = new SupervisedCommand(order, this.#context);
    this.#commands.set(order.run, command);
    if (this.#commands.size === MANY_COMMANDS) this.#onMany?.();
    return command;
  }
}
