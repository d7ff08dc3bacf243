/** A run from its acceptance to its end: starts the command, follows it, ends it when asked to, or lets go of it unharmed. */
import { closeSync } from 'node:fs';
import type { RunSpec, RunStatus } from '../../protocol/run-spec.ts';
import type { Timer } from '../../shared/clock.ts';
import { FleetError, systemErrorCode } from '../../shared/errors.ts';
import type { Logger } from '../../shared/logger.ts';
import { processAgeMs } from '../process/process-table.ts';
import type { CommandState } from '../shim/messages.ts';
import { StartFailure, total } from '../shim/messages.ts';
import { openForSending } from '../shim/pipes.ts';
import type { Journal } from './journal.ts';
import type { JournalRow, RunPlace } from './journal-row.ts';
import type { KillCause, RunEnding } from './outcome.ts';
import { type Plan, type Planner, plannerOf } from './plan.ts';
import { type Inheritance, RunCommand, type RunCommandContext } from './run-command.ts';
import { RunLog } from './run-log.ts';
import { RunRecord } from './run-record.ts';
import { isGone, nextAct, type RunEvent, type RunState, step } from './run-state.ts';
import { StdinPipe } from './stdin-pipe.ts';

export interface LiveRunContext extends RunCommandContext {
  journal: Journal;
  logger: Logger;
  /** @throws StartFailure */
  plan(spec: RunSpec): Promise<Plan>;
  logPath(run: string): string;
}

interface LiveRunOptions {
  /** Where the journal says that it may be starting. */
  place?: RunPlace | undefined;
  /** Someone reads the whole output, including what is not kept. */
  whole?: boolean | undefined;
  /** Of a run that a former process accepted. */
  row?: JournalRow | undefined;
  /** Set if the command may have been started by a shim that is gone. */
  inheritance?: Inheritance | undefined;
}

export class LiveRun {
  readonly spec: RunSpec;
  readonly log: RunLog;
  /** Undefined if the spec has no stdin, or its sender ended with a former process. */
  readonly stdin: StdinPipe | undefined;
  readonly #context: LiveRunContext;
  readonly #options: LiveRunOptions;
  readonly #logger: Logger;
  readonly #planner: Planner<RunSpec>;
  readonly #record: RunRecord;
  readonly #command: RunCommand;
  #state: RunState;
  #changed = Promise.withResolvers<void>();
  /** The I/O side of `released`. */
  readonly #release = new AbortController();
  /** Aborts the wait for a turn: killed, or released. */
  readonly #noTurn = new AbortController();
  /** Its `shim` is empty until the journal has it. */
  #place: RunPlace | undefined;
  #signalWith: Plan['signalWith'];
  #timer: Timer | undefined;
  #endTurn: (() => void) | undefined;
  #failure: unknown = new FleetError('connection_lost', 'the node released the run, which continues after the restart');
  #working: Promise<void> = Promise.resolve();

  constructor(spec: RunSpec, context: LiveRunContext, options: LiveRunOptions = {}) {
    const { row, inheritance } = options;
    const { run } = spec;
    this.spec = spec;
    this.#context = context;
    this.#options = options;
    this.#logger = context.logger.child({ run });
    this.#planner = plannerOf(context.planners, spec);
    this.#place = options.place ?? row?.place ?? undefined;
    const mayBeStarted = row !== undefined && (inheritance !== undefined || context.shim.knows(run));
    this.#state = {
      stage: mayBeStarted ? 'inherited' : 'waiting',
      cause: row?.cause ?? null,
      exit: row?.exit ?? null,
      end: null,
      stdinOpen: row?.stdinOpen ?? spec.stdin,
      released: false,
    };
    this.log = new RunLog(context.logPath(run), inheritance?.past.logBytes ?? 0);
    this.#record = new RunRecord({
      ...context,
      spec,
      log: this.log,
      outputInDoubt: inheritance?.outputInDoubt ?? false,
      logger: this.#logger,
      signal: this.#release.signal,
    });
    this.#command = new RunCommand(spec, this.log, this.#record, context, (event) => this.#apply(event));
    if (spec.stdin && !mayBeStarted) {
      this.stdin = new StdinPipe({
        onComplete: () => this.#apply({ type: 'stdin-complete' }),
        onLost: () => this.kill('stdin_lost'),
      });
    }
  }

  /** Spool space that the output takes, bytes. */
  get spaceBytes(): number {
    return this.#command.spaceBytes;
  }

  /** Resolves when the outcome is durable and the log complete. @throws FleetError `connection_lost` if the run is released before. */
  get ended(): Promise<RunStatus> {
    return this.#until(({ stage }) => stage === 'recorded' || stage === 'left').then(() => {
      if (this.#state.stage === 'left') throw this.#failure;
      return this.status;
    });
  }

  /** Resolves when a command that a former process started is followed again. */
  get takenUp(): Promise<void> {
    return this.#until(({ stage }) => stage !== 'inherited');
  }

  /** Resolves when the command is gone, though perhaps not recorded yet. */
  get over(): Promise<void> {
    return this.#until(isGone);
  }

  /** Whether the command waits for a stdin that ends with this process. */
  get needsStdin(): boolean {
    return this.#state.stdinOpen && this.#command.group !== undefined && !isGone(this.#state);
  }

  /** False once the command itself has exited, although its output may continue. */
  get atWork(): boolean {
    return this.#state.exit === null;
  }

  get status(): RunStatus {
    const { outcome } = this.#record;
    const state = outcome?.state ?? (this.#command.group === undefined ? 'delivered' : 'running');
    return { run: this.spec.run, state, outcome, logBytes: this.log.bytes };
  }

  /** Begins the work in the background: starts the command, or follows one that may have been started before. */
  begin(): void {
    this.#working = this.#work(this.#command.claim()).catch((error: unknown) => {
      this.#logger.error({ err: error }, 'cannot follow a run any longer');
      this.#failure = error;
      this.#apply({ type: 'left' });
    });
  }

  /** Ends the command unless it has come to its own end. The first cause wins. See `over` and `ended`. */
  kill(cause: KillCause): void {
    this.#apply({ type: 'kill', cause });
  }

  /** Stops following, but leaves the command alive for the next process; an ending that has begun is completed if the disk permits. */
  async release(): Promise<void> {
    this.#apply({ type: 'release' });
    await this.#working;
    this.#timer?.cancel();
    this.stdin?.discard();
    this.log.stop();
    this.#apply({ type: 'left' });
  }

  /** The only place where the state changes; what follows from each change at once. */
  #apply(event: RunEvent): void {
    const before = this.#state;
    const state = step(before, event);
    if (state === before) return;
    this.#state = state;
    const { run } = this.spec;
    const { cause, exit } = state;
    if (cause !== before.cause && cause !== null) this.#record.note((journal) => journal.setCause(run, cause));
    if (exit !== before.exit && exit !== null) {
      this.#endTurn?.();
      this.#record.note((journal) => journal.setExit(run, exit));
    }
    if (state.stdinOpen !== before.stdinOpen) {
      this.#record.note((journal) => journal.setStdinComplete(run));
      this.#command.closeStdin();
    }
    if (cause !== null || state.released) this.#noTurn.abort();
    if (state.released) this.#release.abort();
    this.#changed.resolve();
    this.#changed = Promise.withResolvers();
  }

  async #until(condition: (state: RunState) => boolean): Promise<void> {
    while (!condition(this.#state)) await this.#changed.promise;
  }

  async #work(known: CommandState | undefined): Promise<void> {
    try {
      if (this.#state.stage === 'inherited') await this.#takeUp(known);
      for (;;) {
        switch (nextAct(this.#state)) {
          case 'start':
            await this.#start();
            break;
          case 'wait':
            await this.#changed.promise;
            break;
          case 'kill':
            return await this.#terminate();
          case 'record':
            return await this.#end(ownEnding(this.#state));
          case 'put back':
            if (this.#place?.shim) this.#record.note((journal) => journal.notStarting(this.spec.run));
            return;
          case 'nothing':
            return;
        }
      }
    } catch (error) {
      // Without the shim it is unknown whether the command runs; the next take-up with a new shim finds out.
      if (!(error instanceof FleetError) || error.code !== 'connection_lost') throw error;
      await this.#until(({ released }) => released);
    }
  }

  async #start(): Promise<void> {
    const { plan, fifos } = this.#context;
    if (this.#planner.takeTurn !== undefined) {
      this.#endTurn = await this.#planner.takeTurn(this.spec, this.#noTurn.signal);
      if (this.#endTurn === undefined) return;
    }
    try {
      const planned = await plan(this.spec);
      this.#place ??= { pipes: await fifos.take(this.spec.stdin), shim: '' };
      if (nextAct(this.#state) === 'start') await this.#launch(planned, this.#place);
    } catch (error) {
      if (error instanceof FleetError && error.code === 'connection_lost') throw error;
      // Released before the order: the next process starts it.
      if (this.#state.released && this.#state.stage === 'waiting') return;
      await this.#end({ kind: 'failed_to_start', reason: startFailure(error) });
    }
  }

  async #launch(plan: Plan, place: RunPlace): Promise<void> {
    const { journal, shim, fifos } = this.#context;
    if (place.shim !== shim.shim) {
      this.#place = { ...place, shim: shim.shim };
      // From here on the command may have been started.
      journal.starting(this.spec.run, this.#place);
    }
    this.#signalWith = plan.signalWith;
    this.#apply({ type: 'ordered' });
    await this.#command.start(plan, place.pipes, this.#options.whole ?? false);
    this.#apply({ type: 'started' });
    if (place.pipes.stdin !== null) this.#openStdin(fifos.path(place.pipes.stdin));
    if (this.spec.timeoutMs !== undefined) this.#armTimeout(this.spec.timeoutMs);
  }

  #openStdin(path: string): void {
    if (this.stdin === undefined) return;
    const fd = openForSending(path);
    // The command has closed its stdin already, or is gone.
    if (fd === undefined) this.stdin.discard();
    else if (this.#state.released || this.stdin.destroyed) closeSync(fd);
    else this.stdin.attach(fd);
  }

  /** Follows a command that a former process started: through the shim that knows it, or, if that is gone, on its own evidence. */
  async #takeUp(known: CommandState | undefined): Promise<void> {
    const { row, inheritance } = this.#options;
    const { now } = this.#context;
    this.#endTurn = this.#planner.resumeTurn?.(this.spec);
    if (row === undefined) return;
    if (known !== undefined) {
      this.#command.resume(known, row.place?.pipes);
      // The former process may have been killed between its note and its order.
      if (this.spec.stdin && !row.stdinOpen) this.#command.closeStdin();
    } else if (inheritance !== undefined && !(await this.#command.adopt(row, inheritance.past))) {
      const { logBytes, written, kept } = inheritance.past;
      const counters = { ...written, droppedBytes: total(written) - total(kept) };
      this.#apply({ type: 'end', end: { exit: null, drained: false, logBytes, counters, error: null } });
      return await this.#end({
        kind: 'unknown',
        reason: 'node_restarted: it is not known whether the command was started',
      });
    }
    this.#apply({ type: 'started' });
    this.#signalWith = await this.#planSignals();
    // The sender of stdin is gone, and a part of the input must not pass for the whole.
    if (row.stdinOpen && this.#state.end === null && this.#command.group?.isAlive()) this.kill('stdin_lost');
    const { timeoutMs } = this.spec;
    const { startedAt, group } = this.#command;
    const ranMs = processAgeMs(group?.identity) ?? Math.max(0, now() - (startedAt ?? now()));
    if (timeoutMs !== undefined) this.#armTimeout(Math.max(0, timeoutMs - ranMs));
  }

  /** Planned again, because the account may have been removed meanwhile. */
  async #planSignals(): Promise<Plan['signalWith']> {
    if (this.spec.user === undefined) return undefined;
    try {
      return (await this.#context.plan(this.spec)).signalWith;
    } catch (error) {
      this.#logger.warn({ err: error }, 'an inherited run cannot be signaled');
      return undefined;
    }
  }

  async #terminate(): Promise<void> {
    const { signal } = this.#release;
    const left = await this.#command.kill(this.#signalWith, signal);
    if (left === undefined || this.#state.cause === null) return;
    this.#apply({ type: 'over' });
    if (this.#command.group !== undefined) {
      await this.#command.drain(
        this.#until(({ end }) => end !== null),
        signal,
      );
      if (this.#state.end === null) return;
    }
    await this.#end({ kind: 'killed', cause: this.#state.cause, left, exit: this.#state.exit });
  }

  async #end(ending: RunEnding): Promise<void> {
    const { end } = this.#state;
    this.#apply({ type: 'over' });
    this.#timer?.cancel();
    this.#endTurn?.();
    this.stdin?.discard();
    if (!(await this.#record.end(ending, this.#command.startedAt, end))) return;
    this.#command.forget();
    if (this.#place !== undefined) this.#context.fifos.release(this.#place.pipes, end?.drained ?? true);
    this.#apply({ type: 'recorded' });
  }

  #armTimeout(leftMs: number): void {
    this.#timer = this.#context.clock.after(leftMs, () => this.kill('timeout'));
  }
}

function ownEnding({ end }: RunState): RunEnding {
  const exit = end?.exit ?? null;
  if (exit !== null) return { kind: 'exit', exit };
  return { kind: 'unknown', reason: 'node_restarted: exit code could not be observed' };
}

/** The reason in the outcome of a run that was not started. */
function startFailure(error: unknown): string {
  if (error instanceof StartFailure) return error.message;
  if (error instanceof FleetError) return `${error.code}: ${error.message}`;
  return `spawn_failed: ${systemErrorCode(error) ?? String(error)}`;
}
