/** The connection to the shim, which it starts if there is none: sends orders, and passes on what happens to commands. */
import { closeSync, openSync, rmSync } from 'node:fs';
import { createConnection, type Socket } from 'node:net';
import { execa, type Options } from 'execa';
import { type Clock, sleep, type Timer } from '../../shared/clock.ts';
import { FleetError, isNobodyListening } from '../../shared/errors.ts';
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

type ShimOrder = ShimRequest extends infer Request ? (Request extends unknown ? Omit<Request, 'id'> : never) : never;

/** Longest wait for a new shim to get ready, and for the first answer of any shim, ms. */
const ANSWER_MS = 20_000;
/** Delay of orders without an answer, unless another order takes them along, ms: each message wakes the shim. */
const GATHER_MS = 50;
/** Longest wait on shutdown for a shim that does not answer, ms: it may be stopped. */
const LEAVE_MS = 5000;
/** A request unanswered for this long means that the shim is stopped or stuck in the kernel, ms; a slow disk may take seconds. */
const MUTE_MS = 15_000;
/** Pause before another attempt if the shim exits just as it is found, ms. */
const RETRY_MS = 20;

export interface ShimOptions {
  /** A script for this Node.js. */
  entry: string;
  /** The spool's. */
  folder: string;
  socket: string;
  /** Takes the shim's stderr. */
  logFile: string;
  /** The shim's own environment; commands get none of it. */
  env: NodeJS.ProcessEnv;
  clock: Clock;
}

interface Waiting {
  /** Monotonic time of the request, ms; undefined if its answer may take any time. */
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
  /** Events received before the state; each may be older or newer than it. */
  #early: ShimEvent[] = [];
  /** Commands that are not claimed yet, kept up to date by later events. */
  readonly #states = new Map<string, CommandState>();

  private constructor(socket: Socket, clock: Clock) {
    this.#socket = socket;
    this.#clock = clock;
    readLines(socket, (value) => this.#take(value as ShimMessage));
    // 'close' follows.
    socket.on('error', () => {});
    socket.on('close', () => this.#break());
  }

  /** @throws FleetError `storage_failed` if no shim can be started, or the one that is there is not usable. */
  static async open(options: ShimOptions): Promise<ShimLink> {
    const enough = new AbortController();
    const late = tooLate(options.clock, enough.signal);
    late.catch(() => {});
    try {
      for (;;) {
        const link = new ShimLink((await connectToShim(options.socket)) ?? (await startShim(options)), options.clock);
        if (await link.#handshake(late)) return link;
        // It was about to exit: killed, or no longer needed.
        await sleep(options.clock, RETRY_MS);
      }
    } finally {
      enough.abort();
    }
  }

  /** False if the shim is gone. */
  async #handshake(late: Promise<never>): Promise<boolean> {
    try {
      const state = (await Promise.race([this.#request({ do: 'hello' }), late])) as ShimState;
      if (state.protocol !== SHIM_PROTOCOL) {
        throw new Error(`it speaks protocol ${state.protocol}, not ${SHIM_PROTOCOL}`);
      }
      this.#state = state;
      for (const command of state.commands) this.#states.set(command.run, command);
      for (const event of this.#early.splice(0)) this.#take(event);
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

  /** Random; a different id is a different process, which knows nothing of this one's commands. */
  get shim(): string {
    return this.#state?.shim ?? '';
  }

  get pid(): number {
    return this.#state?.pid ?? 0;
  }

  /** Whether it is there but does not answer. */
  get isMute(): boolean {
    const late = this.#clock.monotonic() - MUTE_MS;
    return [...this.#waiting.values()].some(({ since }) => since !== undefined && since <= late);
  }

  /** Whether the shim has, or had, a command of this run that is not claimed yet. */
  knows(run: string): boolean {
    return this.#states.has(run);
  }

  get unclaimed(): string[] {
    return [...this.#states.keys()];
  }

  /** Resolves when the connection breaks; the commands live on, unfollowed. */
  get lost(): Promise<void> {
    return this.#lost.promise;
  }

  /** @throws StartFailure if there is no command; FleetError `connection_lost` if that is unknown. */
  async start(order: StartOrder, listener: (event: ShimEvent) => void): Promise<StartedCommand> {
    this.#listeners.set(order.run, listener);
    return (await this.#request({ do: 'start', order })) as StartedCommand;
  }

  /** A command that the shim knows from before, up to date; undefined if it does not. */
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

  /** Stops reading the command's output; the event `end` follows. */
  finish(run: string): void {
    this.#order({ do: 'finish', run });
  }

  /** The next output of a `whole` run, once there is some. @throws FleetError `connection_lost` */
  async live(run: string, from: number): Promise<LivePiece> {
    return (await this.#request({ do: 'live', run, from })) as LivePiece;
  }

  /** The reader of a `whole` run is present, and may be away for `forMs`. */
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

  /** Releases the shim, which stays while there are commands. Resolves when the connection is closed. */
  async close(): Promise<void> {
    this.#listeners.clear();
    if (this.#socket.destroyed) return;
    const closed = new Promise((resolve) => this.#socket.once('close', resolve));
    // Its answer confirms everything before it.
    const left = this.#request({ do: 'leave' }).catch(() => {});
    const enough = new AbortController();
    await Promise.race([left, sleep(this.#clock, LEAVE_MS, enough.signal)]);
    enough.abort();
    this.#socket.destroy();
    await closed;
  }

  /** For orders whose effect shows in events, or not at all; `lost` reports a broken connection. */
  #order(order: ShimOrder): void {
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
    this.#timer?.cancel();
    this.#timer = undefined;
    writeLines(this.#socket, [...this.#forgotten.splice(0), ...requests]);
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
      // A log only grows: a shorter one is older.
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

/** Undefined if nothing listens there. */
export async function connectToShim(path: string): Promise<Socket | undefined> {
  const socket = createConnection(path);
  return await new Promise((resolve, reject) => {
    socket.once('connect', () => resolve(socket));
    socket.once('error', (error) => {
      if (isNobodyListening(error)) resolve(undefined);
      else reject(new FleetError('storage_failed', `cannot connect to ${path}`, { cause: error }));
    });
  });
}

/** Starts a shim and connects to it. @throws FleetError `storage_failed` */
async function startShim({ entry, folder, socket: path, logFile, env, clock }: ShimOptions): Promise<Socket> {
  // Left by a shim that was killed: the journal's lock guarantees that no other process of this node is starting one.
  rmSync(path, { force: true });
  const logFd = openSync(logFile, 'w', 0o600);
  try {
    // Execa takes any descriptor, but its types know only 0 to 2.
    const stdio = ['ignore', 'pipe', logFd] as unknown as ['ignore', 'pipe', 'ignore'] & Options['stdio'];
    const shim = execa(process.execPath, ['--max-semi-space-size=1', entry, folder, path], {
      cwd: '/',
      env,
      extendEnv: false,
      stdio,
      buffer: false,
      reject: false,
      cleanup: false,
      detached: true,
    });
    const child = shim.nodeChildProcess;
    const enough = new AbortController();
    const ready = new Promise((resolve) => child.stdout?.once('data', resolve));
    try {
      await Promise.race([ready, shim, tooLate(clock, enough.signal)]);
    } finally {
      enough.abort();
      child.stdout?.destroy();
      child.unref();
    }
    const connected = await connectToShim(path);
    if (connected !== undefined) return connected;
    throw new Error(`it ended with ${child.exitCode ?? child.signalCode ?? 'no exit code'}`);
  } catch (error) {
    throw new FleetError('storage_failed', 'cannot start the process that runs the commands (the shim)', {
      hint: `See ${logFile}.`,
      cause: error,
    });
  } finally {
    closeSync(logFd);
  }
}

/** @throws Error after {@link ANSWER_MS}, unless `signal` aborts. */
async function tooLate(clock: Clock, signal: AbortSignal): Promise<never> {
  await sleep(clock, ANSWER_MS, signal);
  throw new Error('it does not answer');
}
