/** All commands of a node: carries out what the node's process orders, and remembers each command until that has recorded its end. */
import type {
  AdoptOrder,
  CommandState,
  LivePiece,
  ShimEvent,
  ShimRequest,
  StartedCommand,
  StartOrder,
} from './messages.ts';
import { SupervisedCommand, type SupervisedCommandContext } from './supervised-command.ts';

/** With so many commands at once, a login's limit of open files becomes too low for this process. */
const MANY_COMMANDS = 150;

export class Supervisor {
  readonly #context: SupervisedCommandContext;
  readonly #commands = new Map<string, SupervisedCommand>();
  readonly #onMany: (() => void) | undefined;
  readonly #starting = new Set<Promise<unknown>>();

  constructor(
    context: Omit<SupervisedCommandContext, 'emit'>,
    onEvent: (event: ShimEvent) => void,
    onMany?: () => void,
  ) {
    this.#context = { ...context, emit: onEvent };
    this.#onMany = onMany;
  }

  /** Of all commands, as soon as those that are being started have been, or could not be. */
  async states(): Promise<CommandState[]> {
    while (this.#starting.size > 0) await Promise.allSettled(this.#starting);
    return [...this.#commands.values()].map((command) => command.state);
  }

  /** Whether none is left: none lives, and the end of each is recorded. */
  get isEmpty(): boolean {
    return this.#commands.size === 0;
  }

  /** Whether every command has ended. */
  get idle(): boolean {
    return [...this.#commands.values()].every(({ ended }) => ended);
  }

  /** @throws Error when the run is known, and what starting throws. */
  async start(order: StartOrder): Promise<StartedCommand> {
    const command = this.#add(order);
    const starting = command.start(order);
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

  /** The next output of a run that somebody takes whole; null when it is not to be had. */
  async live(run: string, from: number): Promise<LivePiece> {
    return (await this.#commands.get(run)?.live?.read(from)) ?? null;
  }

  /** For the requests that name a run; one that is not known needs nothing. */
  handle(request: Extract<ShimRequest, { do: 'finish' | 'close-stdin' | 'attend' | 'forget' }>): void {
    const command = this.#commands.get(request.run);
    switch (request.do) {
      case 'finish':
        void command?.finish();
        return;
      case 'close-stdin':
        command?.closeStdin();
        return;
      case 'attend':
        command?.live?.attend(request.forMs);
        return;
      case 'forget':
        command?.live?.release();
        this.#commands.delete(request.run);
        void command?.forget();
    }
  }

  /** Nobody can ask for the ends of commands any more: forgets those that have ended, and waits for no more than the others' own ends. */
  async abandon(): Promise<void> {
    for (const [run, command] of this.#commands) {
      command.abandon();
      if (!command.ended) continue;
      this.#commands.delete(run);
      await command.forget();
    }
  }

  #add(order: StartOrder | AdoptOrder): SupervisedCommand {
    // The journal sees to it that this never happens; were it otherwise, a command must not run twice.
    if (this.#commands.has(order.run)) throw new Error(`${order.run} is known already`);
    const command = new SupervisedCommand(order, this.#context);
    this.#commands.set(order.run, command);
    if (this.#commands.size === MANY_COMMANDS) this.#onMany?.();
    return command;
  }
}
