/** The connection of the node's process to its shim: sends orders, and passes on what happens to commands. */
import type { Socket } from 'node:net';
import { type Clock, sleep, type Timer } from '../../shared/clock.ts';
import { FleetError } from '../../shared/errors.ts';
import {
  type AdoptOrder,
  type CommandState,
  type LivePiece,
  readLines,
  SHIM_PROTOCOL,
  type ShimEvent,
  type ShimMessage,
  type ShimRequest,
  type ShimState,
  type StartedCommand,
  StartFailure,
  type StartOrder,
  writeLines,
} from '../shim/messages.ts';
import { connectToShim, type ShimOptions, startShim, tooLate } from './start-shim.ts';

type ShimOrder = ShimRequest extends infer Request ? (Request extends unknown ? Omit<Request, 'id'> : never) : never;

/** An order that nobody waits for is given with the next one, or after this time, ms: each one by itself wakes the shim. */
const GATHER_MS = 50;
/** A shim that does not answer, because it is stopped, say, does not keep the node from going down for longer, ms. */
const LEAVE_MS = 5000;
/** A shim that leaves a request unanswered for so long is stopped, or stuck in the kernel, ms; one of them may take some seconds on a slow disk. */
const MUTE_MS = 15_000;
/** Pause before a shim is looked for again that ended just when it was found, ms. */
const RETRY_MS = 20;

interface Waiting {
  /** When it was asked, on the monotonic clock, ms; undefined where the answer may take as long as it likes. */
  since: number | undefined;
  resolve(value: unknown): void;
  reject(error: unknown): void;
}

export class ShimLink {
  readonly #socket: Socket;
  readonly #clock: Clock;
  readonly #waiting = new Map<number, Waiting>();
  readonly #listeners = new Map<string, (event: ShimEvent) => void>();
  readonly #lost = Promise.withResolvers<void>();
  #requests = 0;
  #forgotten: ShimRequest[] = [];
  #timer: Timer | undefined;
  #state: ShimState | undefined;
  /** Told before the state was taken in. It may be older than that, or newer. */
  #early: ShimEvent[] = [];
  /** What the shim knew when the link was made, and has told since, of commands that nobody listens to yet. */
  readonly #states = new Map<string, CommandState>();

  private constructor(socket: Socket, clock: Clock) {
    this.#socket = socket;
    this.#clock = clock;
    readLines(socket, (value) => this.#take(value as ShimMessage));
    socket.on('error', () => {
      // Told by 'close'.
    });
    socket.on('close', () => this.#break());
  }

  /** @throws FleetError `storage_failed` when there is no shim and none can be started, or the one that is there is not ours. */
  static async open(options: ShimOptions): Promise<ShimLink> {
    const enough = new AbortController();
    const late = tooLate(options.clock, enough.signal);
    late.catch(() => {});
    try {
      for (;;) {
        const link = new ShimLink((await connectToShim(options.socket)) ?? (await startShim(options)), options.clock);
        if (await link.#greet(late)) return link;
        // Its end was on the way when we came: it was killed, or nobody needed it any more.
        await sleep(options.clock, RETRY_MS);
      }
    } finally {
      enough.abort();
    }
  }

  /** False if the shim is gone. */
  async #greet(late: Promise<never>): Promise<boolean> {
    try {
      this.#begin((await Promise.race([this.#request({ do: 'hello' }), late])) as ShimState);
      return true;
    } catch (error) {
      this.#socket.destroy();
      if (error instanceof FleetError && error.code === 'connection_lost') return false;
      throw new FleetError('storage_failed', 'the process that runs the commands (the shim) cannot be used', {
        hint: 'End the commands of this node and its shim, and start the node again.',
        cause: error,
      });
    }
  }

  /** Random; another one is another process, which knows nothing of the commands of this one. */
  get shim(): string {
    return this.#state?.shim ?? '';
  }

  get pid(): number {
    return this.#state?.pid ?? 0;
  }

  /** Whether it is there and does not answer. */
  get isMute(): boolean {
    const late = this.#clock.monotonic() - MUTE_MS;
    return [...this.#waiting.values()].some(({ since }) => since !== undefined && since <= late);
  }

  /** Whether the shim has, or had, a command of this run that nobody here has claimed yet. */
  knows(run: string): boolean {
    return this.#states.has(run);
  }

  /** All such runs. */
  get unclaimed(): string[] {
    return [...this.#states.keys()];
  }

  /** Resolves when the shim is gone although nobody let it go; its commands live on, unfollowed. */
  get lost(): Promise<void> {
    return this.#lost.promise;
  }

  /** @throws StartFailure when there is no command; FleetError `connection_lost` when nobody knows. */
  async start(order: StartOrder, listener: (event: ShimEvent) => void): Promise<StartedCommand> {
    this.#listeners.set(order.run, listener);
    return (await this.#request({ do: 'start', order })) as StartedCommand;
  }

  /** A command that the shim knows from before; undefined if it does not. Events that came in between are in the state. */
  claim(run: string, listener: (event: ShimEvent) => void): CommandState | undefined {
    const state = this.#states.get(run);
    if (state === undefined) return undefined;
    this.#states.delete(run);
    this.#listeners.set(run, listener);
    return state;
  }

  /** @throws FleetError `connection_lost` */
  async adopt(order: AdoptOrder, listener: (event: ShimEvent) => void): Promise<void> {
    this.#listeners.set(order.run, listener);
    await this.#request({ do: 'adopt', order });
  }

  /** The command's output is read no further; the event `end` follows. */
  finish(run: string): void {
    this.#order({ do: 'finish', run });
  }

  /** The next output of a run that somebody takes whole, once there is some. @throws FleetError `connection_lost` */
  async live(run: string, from: number): Promise<LivePiece> {
    return (await this.#request({ do: 'live', run, from })) as LivePiece;
  }

  /** Whoever takes the output is there, and may be away for so long. */
  attend(run: string, forMs: number): void {
    this.#order({ do: 'attend', run, forMs });
  }

  closeStdin(run: string): void {
    this.#order({ do: 'close-stdin', run });
  }

  /** Everything about the run is recorded. */
  forget(run: string): void {
    this.#listeners.delete(run);
    this.#states.delete(run);
    this.#requests += 1;
    this.#forgotten.push({ id: this.#requests, do: 'forget', run });
    this.#timer ??= this.#clock.after(GATHER_MS, () => this.#flush());
  }

  /** Lets the shim go, which stays as long as there are commands. Resolves when the connection is closed. */
  async close(): Promise<void> {
    this.#listeners.clear();
    if (!this.#socket.destroyed) {
      const closed = new Promise((resolve) => this.#socket.once('close', resolve));
      // The answer says that everything before it has been taken.
      const left = this.#request({ do: 'leave' }).catch(() => {});
      const enough = new AbortController();
      await Promise.race([left, sleep(this.#clock, LEAVE_MS, enough.signal)]);
      enough.abort();
      this.#socket.destroy();
      await closed;
    }
  }

  #begin(state: ShimState): void {
    if (state.protocol !== SHIM_PROTOCOL) throw new Error(`it speaks protocol ${state.protocol}, not ${SHIM_PROTOCOL}`);
    this.#state = state;
    for (const command of state.commands) this.#states.set(command.run, command);
    for (const event of this.#early) this.#take(event);
    this.#early = [];
  }

  #order(order: ShimOrder): void {
    // Whoever gives such an order waits for events, or for nothing; a broken link is told by `lost`.
    this.#request(order).catch(() => {});
  }

  #request(order: ShimOrder): Promise<unknown> {
    this.#requests += 1;
    const id = this.#requests;
    return new Promise((resolve, reject) => {
      if (this.#socket.destroyed) return reject(lostLink());
      const since = order.do === 'live' ? undefined : this.#clock.monotonic();
      this.#waiting.set(id, { since, resolve, reject });
      this.#flush({ id, ...order });
    });
  }

  #flush(...requests: ShimRequest[]): void {
    const all = [...this.#forgotten, ...requests];
    this.#forgotten = [];
    this.#timer?.cancel();
    this.#timer = undefined;
    writeLines(this.#socket, all);
  }

  #take(message: ShimMessage): void {
    if ('re' in message) {
      const waiting = this.#waiting.get(message.re);
      this.#waiting.delete(message.re);
      if ('failure' in message) waiting?.reject(new StartFailure(message.failure));
      else waiting?.resolve(message.value);
      return;
    }
    if (this.#state === undefined) return void this.#early.push(message);
    const listener = this.#listeners.get(message.run);
    const state = this.#states.get(message.run);
    if (listener !== undefined) listener(message);
    else if (state !== undefined) this.#states.set(message.run, updated(state, message));
  }

  #break(): void {
    this.#timer?.cancel();
    for (const { reject } of this.#waiting.values()) reject(lostLink());
    this.#waiting.clear();
    this.#lost.resolve();
  }
}

function updated(state: CommandState, event: ShimEvent): CommandState {
  switch (event.event) {
    case 'output':
      // A log only grows: one that is shorter is from before.
      if (event.logBytes < state.logBytes) return state;
      return { ...state, logBytes: event.logBytes, spaceBytes: event.spaceBytes };
    case 'exit':
      return { ...state, exit: event.exit };
    case 'unsafe':
      return state;
    case 'end':
      return { ...state, end: event.end };
  }
}

function lostLink(): FleetError {
  return new FleetError('connection_lost', 'the connection to the shim broke');
}
