/** One run from its acceptance to its end: has the command started, follows it, ends it when it must, and lets go of it unharmed. */
import { closeSync } from 'node:fs';
import type { RunSpec, RunStatus } from '../../protocol/run-spec.ts';
import type { Timer } from '../../shared/clock.ts';
import { FleetError, systemErrorCode } from '../../shared/errors.ts';
import type { Logger } from '../../shared/logger.ts';
import { processAgeMs } from '../process/process-table.ts';
import type { CommandEnd, CommandExit, CommandState } from '../shim/messages.ts';
import { StartFailure, total } from '../shim/messages.ts';
import { openForSending } from '../shim/pipes.ts';
import type { CommandPlan } from './command-plan.ts';
import type { Journal } from './journal.ts';
import type { JournalRow, RunPhase, RunPlace } from './journal-row.ts';
import type { KillCause, RunEnding } from './outcome.ts';
import { type Inheritance, RunCommand, type RunCommandContext } from './run-command.ts';
import { RunLog } from './run-log.ts';
import { RunRecord } from './run-record.ts';
import { StdinPipe } from './stdin-pipe.ts';

const RESTARTED = 'node_restarted: exit code could not be observed';

export interface LiveRunContext extends RunCommandContext {
  journal: Journal;
  logger: Logger;
  /** @throws StartFailure */
  plan(spec: RunSpec): Promise<CommandPlan>;
  logPath(run: string): string;
}

/** What the journal has of a run already. */
interface Begun {
  place?: RunPlace | undefined;
  /** Somebody takes all of the output, also what is not kept. */
  whole?: boolean | undefined;
  /** Of a run that a former process has accepted. */
  row?: JournalRow | undefined;
  /** Set if the command may have been started by a shim that is gone. */
  inheritance?: Inheritance | undefined;
}

export class LiveRun {
  readonly spec: RunSpec;
  readonly log: RunLog;
  /** Undefined unless somebody shall send stdin. */
  readonly stdin: StdinPipe | undefined;
  readonly #context: LiveRunContext;
  readonly #logger: Logger;
  readonly #record: RunRecord;
  readonly #begun: Begun;
  readonly #command: RunCommand;
  #phase: RunPhase;
  #place: RunPlace | undefined;
  #signalWith: CommandPlan['signalWith'];
  #stdinOpen: boolean;
  #timer: Timer | undefined;
  #cause: KillCause | undefined;
  /** Of a command whose output is held by something else, unless it was ended before. */
  #exit: CommandExit | null;
  readonly #causeRaised = Promise.withResolvers<void>();
  /** No cause counts any more: the command came to its own end before. */
  #sealed = false;
  readonly #letGo = new AbortController();
  /** Ends the wait for a turn. */
  readonly #noTurn = new AbortController();
  #giveSlotBack: (() => void) | undefined;
  readonly #ended = Promise.withResolvers<RunStatus>();
  readonly #over = Promise.withResolvers<void>();
  readonly #takenUp = Promise.withResolvers<void>();
  #working: Promise<void> = Promise.resolve();

  constructor(spec: RunSpec, context: LiveRunContext, begun: Begun = {}) {
    const { row, place, inheritance } = begun;
    this.spec = spec;
    this.#context = context;
    this.#begun = begun;
    this.#logger = context.logger.child({ run: spec.run });
    this.#place = place ?? row?.place ?? undefined;
    this.#phase = row?.phase ?? (place === undefined ? 'accepted' : 'starting');
    this.#cause = row?.cause ?? undefined;
    this.#exit = row?.exit ?? null;
    this.#stdinOpen = row === undefined ? spec.stdin : row.stdinOpen;
    this.log = new RunLog(context.logPath(spec.run), inheritance?.past.logBytes ?? 0);
    const { journal, clock, now } = context;
    this.#record = new RunRecord({
      spec,
      journal,
      log: this.log,
      outputInDoubt: inheritance?.outputInDoubt ?? false,
      clock,
      now,
      logger: this.#logger,
      signal: this.#letGo.signal,
    });
    this.#command = new RunCommand(spec, this.log, this.#record, context, (exit) => this.#exited(exit));
    // What was sent to a command that a former process has started is gone with that.
    const mayBeStarted = row !== undefined && (inheritance !== undefined || context.shim.knows(spec.run));
    if (spec.stdin && !mayBeStarted) {
      this.stdin = new StdinPipe({ onComplete: () => this.#stdinComplete(), onLost: () => this.kill('stdin_lost') });
    }
    // Whoever waits gets it from `ended`; that nobody waits is no fault.
    this.#ended.promise.catch(() => {});
  }

  /** What the output takes of the spool's room, bytes. */
  get spaceBytes(): number {
    return this.#command.spaceBytes;
  }

  /** Resolves when the outcome is durable and the log complete. @throws FleetError `connection_lost` when this process lets go first. */
  get ended(): Promise<RunStatus> {
    return this.#ended.promise;
  }

  /** Resolves when a command that a former process has started is followed again. */
  get takenUp(): Promise<void> {
    return this.#takenUp.promise;
  }

  /** Resolves when the command is gone, though perhaps not recorded yet. */
  get over(): Promise<void> {
    return this.#over.promise;
  }

  /** Whether the command waits for a stdin that ends with this process. */
  get needsStdin(): boolean {
    return this.#stdinOpen && this.#command.group !== undefined && !this.#sealed;
  }

  /** Whether the command itself is at work: one that has exited takes no place, though its output goes on. */
  get atWork(): boolean {
    return this.#exit === null;
  }

  get status(): RunStatus {
    const { outcome } = this.#record;
    const state = outcome?.state ?? (this.#command.group === undefined ? 'delivered' : 'running');
    return { run: this.spec.run, state, outcome, logBytes: this.log.bytes };
  }

  /** Begins the work in the background: a run that was surely never spawned is started, another one followed to its end. */
  begin(): void {
    this.#working = this.#work(this.#command.claim()).catch((error: unknown) => {
      this.#logger.error({ err: error }, 'a run cannot be followed any more');
      this.#ended.reject(error);
      this.#over.resolve();
    });
  }

  /** Ends the command if it has not come to its end by itself. The first cause wins. `over` and `ended` tell when. */
  kill(cause: KillCause): void {
    if (this.#cause !== undefined || this.#sealed) return;
    this.#cause = cause;
    this.#record.note((journal) => journal.setCause(this.spec.run, cause));
    this.#causeRaised.resolve();
    this.#noTurn.abort();
  }

  /** Stops following and leaves the command alive for the next process; an ending that has begun is completed if the disk lets it. */
  async letGo(): Promise<void> {
    this.#letGo.abort();
    this.#noTurn.abort();
    await this.#working;
    this.#timer?.cancel();
    this.stdin?.discard();
    this.log.stop();
    this.#over.resolve();
    this.#ended.reject(new FleetError('connection_lost', 'the node lets go of the run; it goes on after its restart'));
  }

  async #work(state: CommandState | undefined): Promise<void> {
    const { row, inheritance } = this.#begun;
    try {
      if (row !== undefined && state !== undefined) await this.#resume(row, state);
      else if (row !== undefined && inheritance !== undefined) await this.#adopt(row, inheritance);
      else {
        this.#takenUp.resolve();
        await this.#start();
      }
    } catch (error) {
      // Without the shim nobody knows whether the command runs. It is found out when a new shim is there, by whoever takes up the run then.
      if (!(error instanceof FleetError) || error.code !== 'connection_lost') throw error;
      await aborted(this.#letGo.signal);
    } finally {
      this.#takenUp.resolve();
    }
  }

  async #start(): Promise<void> {
    const { plan, agents } = this.#context;
    this.#giveSlotBack = await agents.takeSlot(this.spec, this.#noTurn.signal);
    if (this.#giveSlotBack === undefined) return await this.#follow();
    try {
      const command = await plan(this.spec);
      const place = this.#place ?? (await this.#takePlace());
      if (this.#cause === undefined && !this.#letGo.signal.aborted) await this.#launch(command, place);
    } catch (error) {
      if (error instanceof FleetError && error.code === 'connection_lost') throw error;
      // Whoever lets go before the spawn leaves the run to the next process, which starts it.
      if (this.#letGo.signal.aborted && !this.#command.ordered) return this.#takeBack();
      return await this.#end({ kind: 'failed_to_start', reason: startFailure(error) });
    }
    if (this.#letGo.signal.aborted && !this.#command.ordered) return this.#takeBack();
    await this.#follow();
  }

  async #takePlace(): Promise<RunPlace> {
    const { fifos, shim } = this.#context;
    const pipes = await fifos.take(this.spec.stdin);
    this.#place = { pipes, shim: shim.shim };
    return this.#place;
  }

  /** The command was surely not started, and shall be by the next process. */
  #takeBack(): void {
    if (this.#phase === 'starting') this.#record.note((journal) => journal.notStarting(this.spec.run));
  }

  /** From the line on that writes `starting`, the command may have been started. */
  async #launch(plan: CommandPlan, place: RunPlace): Promise<void> {
    const { journal, shim, fifos } = this.#context;
    if (this.#phase === 'accepted' || place.shim !== shim.shim) {
      this.#place = { ...place, shim: shim.shim };
      journal.starting(this.spec.run, this.#place);
    }
    this.#phase = 'starting';
    this.#signalWith = plan.signalWith;
    await this.#command.start(plan, place, this.#begun.whole ?? false);
    this.#openStdin(place.pipes.stdin === null ? undefined : fifos.path(place.pipes.stdin));
    if (this.spec.timeoutMs !== undefined) this.#armTimeout(this.spec.timeoutMs);
  }

  #openStdin(path: string | undefined): void {
    if (path === undefined || this.stdin === undefined) return;
    const fd = openForSending(path);
    // The command closed its stdin at once, or is gone.
    if (fd === undefined) this.stdin.discard();
    // Let go, or discarded, in the meantime.
    else if (this.#letGo.signal.aborted || this.stdin.destroyed) closeSync(fd);
    else this.stdin.attach(fd);
  }

  /** Goes on with a command that the shim has followed all the time. */
  async #resume(row: JournalRow, state: CommandState): Promise<void> {
    this.#giveSlotBack = this.#context.agents.occupySlot(this.spec);
    this.#command.resume(state, row.place);
    // The former process may have been killed between its note and its order.
    if (this.spec.stdin && !row.stdinOpen) this.#command.closeStdin();
    await this.#goOn(row);
  }

  /** Takes up a command whose shim is gone, or finds that nobody can say whether there was one. */
  async #adopt(row: JournalRow, { past }: Inheritance): Promise<void> {
    this.#giveSlotBack = this.#context.agents.occupySlot(this.spec);
    if (await this.#command.adopt(row, past)) return await this.#goOn(row);
    const { logBytes, written, kept } = past;
    const counters = { ...written, droppedBytes: total(written) - total(kept) };
    const reason = 'node_restarted: it is not known whether the command was started';
    await this.#end({ kind: 'unknown', reason }, { drained: false, logBytes, counters, error: null });
  }

  async #goOn(row: JournalRow): Promise<void> {
    const { now } = this.#context;
    this.#takenUp.resolve();
    this.#signalWith = await this.#planSignals();
    // The sender of stdin is gone, and what came from it must not pass for all.
    if (row.stdinOpen && this.#command.end === undefined && this.#command.group?.isAlive()) this.kill('stdin_lost');
    const { timeoutMs } = this.spec;
    const { startedAt, group } = this.#command;
    const ranMs = processAgeMs(group?.identity) ?? Math.max(0, now() - (startedAt ?? now()));
    if (timeoutMs !== undefined) this.#armTimeout(Math.max(0, timeoutMs - ranMs));
    await this.#follow();
  }

  /** As of the present: the account may have been removed meanwhile. */
  async #planSignals(): Promise<CommandPlan['signalWith']> {
    if (this.spec.user === undefined) return undefined;
    try {
      return (await this.#context.plan(this.spec)).signalWith;
    } catch (error) {
      this.#logger.warn({ err: error }, 'an inherited run may not be signaled');
      return undefined;
    }
  }

  /** From the spawn to the end; returns early if this process lets go. */
  async #follow(): Promise<void> {
    const { signal } = this.#letGo;
    const command = this.#command;
    if (this.#cause === undefined) {
      await Promise.race([command.ended, this.#causeRaised.promise, aborted(signal)]);
    }
    const { end } = command;
    if (this.#cause !== undefined) {
      const left = await command.terminate(this.#signalWith, signal, () => this.#over.resolve());
      if (left !== undefined)
        await this.#end({ kind: 'killed', cause: this.#cause, left, exit: this.#exit }, command.end);
    } else if (end !== undefined) {
      const { exit } = end;
      await this.#end(exit === null ? { kind: 'unknown', reason: RESTARTED } : { kind: 'exit', exit }, end);
    }
  }

  /** `end` is undefined if the command was never started. */
  async #end(ending: RunEnding, end?: Omit<CommandEnd, 'exit'>): Promise<void> {
    this.#sealed = true;
    this.#timer?.cancel();
    this.#giveSlotBack?.();
    this.#over.resolve();
    this.stdin?.discard();
    if (!(await this.#record.end(ending, this.#command.startedAt, end))) return;
    this.#command.forget();
    if (this.#place !== undefined) this.#context.fifos.release(this.#place.pipes, end?.drained ?? true);
    this.#ended.resolve(this.status);
  }

  /** What the exit of a command that is being ended says is its end by us. */
  #exited(exit: CommandExit): void {
    if (this.#cause !== undefined) return;
    this.#exit = exit;
    this.#giveSlotBack?.();
    this.#record.note((journal) => journal.setExit(this.spec.run, exit));
  }

  #stdinComplete(): void {
    this.#stdinOpen = false;
    this.#record.note((journal) => journal.setStdinComplete(this.spec.run));
    this.#command.closeStdin();
  }

  #armTimeout(leftMs: number): void {
    this.#timer = this.#context.clock.after(leftMs, () => this.kill('timeout'));
  }
}

/** The reason of a run that was not started, in the words of the outcome. */
function startFailure(error: unknown): string {
  if (error instanceof StartFailure) return error.message;
  if (error instanceof FleetError) return `${error.code}: ${error.message}`;
  return `spawn_failed: ${systemErrorCode(error) ?? String(error)}`;
}

function aborted(signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal.aborted) resolve();
    else signal.addEventListener('abort', () => resolve(), { once: true });
  });
}
