/**
 * One run from its acceptance to its durable end.
 *
 * The outcome goes into the journal first and then, as the end frame, into the log. Killed in between, the next process writes the
 * end frame from the journal. The other way round a reader could have seen an end that the journal does not know, and a torn
 * end frame would have lost an exit code that was known.
 */
import { encodeFrame, FRAME_TYPE } from '../../protocol/frames.ts';
import type { RunOutcome, RunSpec, RunStatus } from '../../protocol/run-spec.ts';
import { type Clock, sleep, type Timer } from '../../shared/clock.ts';
import { FleetError, systemErrorCode } from '../../shared/errors.ts';
import type { Logger } from '../../shared/logger.ts';
import { type CommandPlan, StartFailure } from './command-plan.ts';
import type { FifoPool } from './fifo-pool.ts';
import type { Journal, JournalRow, KillCause, OutputCounters, RunPhase, RunPipes } from './journal.ts';
import { closePipes, type Launched, launch, openPipes, reopenPipes } from './launch.ts';
import { composeOutcome, type RunEnding } from './outcome.ts';
import { leaderGone, ProcessGroup, terminateGroup } from './process-group.ts';
import type { ProcessTable } from './process-table.ts';
import { RunOutput } from './run-output.ts';
import { type CommandExit, runTool } from './spawn.ts';
import { StdinPipe } from './stdin-pipe.ts';
import { untilStored } from './until-stored.ts';

/** What escaped from a group that was killed may hold the pipes for ever; what is in them is read for this long, ms. */
const DRAIN_AFTER_KILL_MS = 1000;
/** Longest time that Node.js's timers can count, ms. */
const LONGEST_TIMER_MS = 2 ** 31 - 1;

export const RESTARTED = 'node_restarted: exit code could not be observed';
const NO_OUTPUT: OutputCounters = { stdoutBytes: 0, stderrBytes: 0, droppedBytes: 0 };

export interface LiveRunContext {
  journal: Journal;
  fifos: FifoPool;
  processes: ProcessTable;
  clock: Clock;
  /** Gateway's time, ms. */
  now(): number;
  killGraceMs: number;
  logger: Logger;
  /** @throws StartFailure */
  plan(spec: RunSpec): Promise<CommandPlan>;
  logPath(run: string): string;
}

/** What a former process left of a run. */
export interface Inheritance {
  row: JournalRow;
  logBytes: number;
  counters: OutputCounters;
}

export class LiveRun {
  readonly spec: RunSpec;
  /** Undefined unless somebody shall send stdin. */
  readonly stdin: StdinPipe | undefined;
  readonly #context: LiveRunContext;
  readonly #logger: Logger;
  readonly #output: RunOutput;
  readonly #inheritance: Inheritance | undefined;
  #phase: RunPhase;
  #startedAt: number | null;
  #outcome: RunOutcome | null = null;
  #pipes: RunPipes | null;
  #group: ProcessGroup | undefined;
  #signalWith: CommandPlan['signalWith'];
  #unref: (() => void) | undefined;
  /** Undefined is the exit of a process that is not our child. */
  #exited: Promise<CommandExit | undefined> = Promise.resolve(undefined);
  #stdinOpen: boolean;
  #timer: Timer | undefined;
  #cause: KillCause | undefined;
  readonly #causeRaised = Promise.withResolvers<void>();
  /** No cause counts any more: the command came to its own end before. */
  #sealed = false;
  readonly #letGo = new AbortController();
  readonly #ended = Promise.withResolvers<RunStatus>();
  #working: Promise<void> = Promise.resolve();

  constructor(spec: RunSpec, context: LiveRunContext, inheritance?: Inheritance) {
    this.spec = spec;
    this.#context = context;
    this.#inheritance = inheritance;
    this.#logger = context.logger.child({ run: spec.run });
    this.#phase = inheritance?.row.phase ?? 'accepted';
    this.#cause = inheritance?.row.cause ?? undefined;
    this.#startedAt = inheritance?.row.startedAt ?? null;
    this.#pipes = inheritance?.row.pipes ?? null;
    this.#stdinOpen = inheritance?.row.stdinOpen ?? spec.stdin;
    this.#output = new RunOutput({
      logPath: context.logPath(spec.run),
      logBytes: inheritance?.logBytes ?? 0,
      counters: inheritance?.counters ?? NO_OUTPUT,
      maxOutputBytes: spec.maxOutputBytes,
      logger: this.#logger,
    });
    // Of a former process's run, what was sent by then is gone with it.
    if (spec.stdin && this.#phase === 'accepted') {
      this.stdin = new StdinPipe({ onComplete: () => this.#stdinComplete(), onLost: () => this.#raise('stdin_lost') });
    }
    // Whoever waits gets it from `ended`; that nobody waits is no fault.
    this.#ended.promise.catch(() => {});
  }

  get log(): RunOutput['log'] {
    return this.#output.log;
  }

  /** Resolves when the outcome is durable and the log complete. @throws FleetError `connection_lost` when this process lets go first. */
  get ended(): Promise<RunStatus> {
    return this.#ended.promise;
  }

  /** Whether the command waits for a stdin that ends with this process. */
  get needsStdin(): boolean {
    return this.#stdinOpen && this.#group !== undefined && !this.#sealed;
  }

  get status(): RunStatus {
    const state = this.#outcome?.state ?? (this.#phase === 'started' ? 'running' : 'delivered');
    return { run: this.spec.run, state, outcome: this.#outcome, logBytes: this.log.bytes };
  }

  /** Begins the work in the background: a run that was surely never spawned is started, another one followed to its end. */
  begin(): void {
    const { row } = this.#inheritance ?? {};
    const work = row === undefined || row.phase === 'accepted' ? this.#start() : this.#adopt(row);
    this.#working = work.catch((error: unknown) => {
      this.#logger.error({ err: error }, 'a run cannot be followed any more');
      this.#ended.reject(error);
    });
  }

  /** Ends the command if it has not come to its end. The first cause wins. Resolves as `ended` does. */
  kill(cause: KillCause): Promise<RunStatus> {
    this.#raise(cause);
    return this.ended;
  }

  /** Stops following and leaves the command alive for the next process; an ending that has begun is completed if the disk lets it. */
  async letGo(): Promise<void> {
    this.#letGo.abort();
    await this.#working;
    this.#timer?.cancel();
    this.#unref?.();
    await this.#output.stop();
    this.stdin?.discard();
    await this.log.flush();
    if (this.#phase === 'started') {
      this.#tryJournal(() => this.#context.journal.setCounters(this.spec.run, this.#output.counters));
    }
    await this.#closeLog();
    this.#ended.reject(new FleetError('connection_lost', 'the node lets go of the run; it goes on after its restart'));
  }

  async #start(): Promise<void> {
    const { fifos, plan } = this.#context;
    try {
      const command = await plan(this.spec);
      const names = await fifos.take(this.spec.stdin ? 3 : 2);
      const goesOn = this.#cause === undefined && !this.#letGo.signal.aborted;
      if (goesOn) this.#started(await this.#launch(command, names));
      else fifos.release(names, true);
    } catch (error) {
      // Whoever lets go before the spawn leaves the run to the next process, which starts it.
      if (this.#phase === 'accepted' && this.#letGo.signal.aborted) return;
      return await this.#end({ kind: 'failed_to_start', reason: startFailure(error) });
    }
    await this.#follow();
  }

  /** From the first line on that writes `starting`, the command may have been started. */
  async #launch(command: CommandPlan, names: string[]): Promise<Launched> {
    const { journal, fifos } = this.#context;
    const [stdout = '', stderr = '', stdin = null] = names;
    this.#pipes = { stdout, stderr, stdin };
    this.#signalWith = command.signalWith;
    const open = openPipes(this.#pipes, (name) => fifos.path(name));
    try {
      journal.starting(this.spec.run, this.#pipes);
    } catch (error) {
      closePipes(open);
      throw error;
    }
    this.#phase = 'starting';
    return await launch(command, open);
  }

  #started({ pid, exited, unref, stdoutFd, stderrFd, stdinFd }: Launched): void {
    const { journal, processes, now } = this.#context;
    // The process cannot have been collected yet, so it is in the table even if it is done already.
    const identity = processes.find(pid)?.identity;
    const startedAt = Math.round(now());
    this.#group = new ProcessGroup(pid, identity, processes);
    this.#startedAt = startedAt;
    this.#phase = 'started';
    this.#unref = unref;
    this.#exited = exited.then((exit) => this.#observe(exit));
    void this.#persist('started', () => journal.started(this.spec.run, { pid, identity, startedAt }));
    this.log.append(encodeFrame(FRAME_TYPE.started, Buffer.from(JSON.stringify({ startedAt, pid }))), () => {});
    this.#output.attach(stdoutFd, stderrFd);
    if (stdinFd !== null) this.stdin?.attach(stdinFd);
    if (this.spec.timeoutMs !== undefined) this.#armTimeout(this.spec.timeoutMs);
  }

  async #adopt(row: JournalRow): Promise<void> {
    const { fifos, processes, now, clock } = this.#context;
    if (row.phase === 'starting' || row.pid === null || row.pipes === null) {
      return await this.#end({
        kind: 'unknown',
        reason: 'node_restarted: it is not known whether the command was started',
      });
    }
    const group = new ProcessGroup(row.pid, row.identity ?? undefined, processes);
    this.#group = group;
    this.#signalWith = await this.#planSignals();
    try {
      const { stdoutFd, stderrFd } = reopenPipes(row.pipes, (name) => fifos.path(name));
      this.#output.attach(stdoutFd, stderrFd);
    } catch (error) {
      this.#logger.warn({ err: error }, 'the pipes of an inherited run are gone');
    }
    this.#exited = row.exit
      ? Promise.resolve(row.exit)
      : leaderGone(group, clock, this.#letGo.signal).then(() => undefined);
    // What the command has of its stdin looks complete to it, since the end of the former process closed it.
    if (row.stdinOpen && group.isAlive()) this.#raise('stdin_lost');
    const { timeoutMs } = this.spec;
    const ranMs = Math.max(0, now() - (row.startedAt ?? now()));
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
    const natural = Promise.all([this.#exited, this.#output.drained()]);
    if (this.#cause === undefined) {
      await Promise.race([natural, this.#causeRaised.promise, aborted(this.#letGo.signal)]);
    }
    if (this.#cause !== undefined) return await this.#endByForce(this.#cause, natural);
    if (this.#letGo.signal.aborted) return;
    this.#sealed = true;
    const [exit] = await natural;
    await this.#end(exit === undefined ? { kind: 'unknown', reason: RESTARTED } : { kind: 'exit', exit });
  }

  async #endByForce(cause: KillCause, natural: Promise<unknown>): Promise<void> {
    const { clock, killGraceMs } = this.#context;
    const { signal } = this.#letGo;
    if (this.#group !== undefined) {
      const signalAs = this.#signalWith && signalThrough(this.#signalWith, this.#group.leader);
      const gone = await terminateGroup(this.#group, { clock, killGraceMs, signal, signalAs });
      if (!gone) return;
      const drainTime = new AbortController();
      await Promise.race([natural, sleep(clock, DRAIN_AFTER_KILL_MS, AbortSignal.any([signal, drainTime.signal]))]);
      drainTime.abort();
    }
    await this.#end({ kind: 'killed', cause });
  }

  async #end(ending: RunEnding): Promise<void> {
    const { journal, fifos, now } = this.#context;
    const { run, timeoutMs } = this.spec;
    this.#sealed = true;
    this.#timer?.cancel();
    const drained = this.#output.isDrained;
    await this.#output.stop();
    this.stdin?.discard();
    await this.log.flush();
    const { counters } = this.#output;
    // The outcome counts these bytes, so they must not be less durable than it.
    if (counters.stdoutBytes + counters.stderrBytes > 0) await this.#syncLog();
    const facts = {
      startedAt: this.#startedAt,
      endedAt: Math.round(now()),
      timeoutMs,
      counters,
      spoolError: this.log.error,
    };
    const outcome = composeOutcome(ending, facts);
    const frame = encodeFrame(FRAME_TYPE.end, Buffer.from(JSON.stringify(outcome)));
    if (!(await this.#persist('outcome', () => journal.ended(run, outcome, this.log.bytes + frame.length)))) return;
    this.#phase = 'ended';
    this.#outcome = outcome;
    if (!(await this.#persist('end frame', () => this.log.appendEnd(frame)))) return;
    await this.#closeLog();
    const names = [this.#pipes?.stdout, this.#pipes?.stderr, this.#pipes?.stdin].filter(
      (name) => typeof name === 'string',
    );
    fifos.release(names, drained);
    this.#ended.resolve(this.status);
  }

  #raise(cause: KillCause): void {
    if (this.#cause !== undefined || this.#sealed) return;
    this.#cause = cause;
    this.#tryJournal(() => this.#context.journal.setCause(this.spec.run, cause));
    this.#causeRaised.resolve();
  }

  /** A background process may hold the pipes for long after the command's own end, which is then worth remembering. */
  #observe(exit: CommandExit): CommandExit {
    if (!this.#output.isDrained) this.#tryJournal(() => this.#context.journal.setExit(this.spec.run, exit));
    return exit;
  }

  #stdinComplete(): void {
    this.#stdinOpen = false;
    this.#tryJournal(() => this.#context.journal.setStdinComplete(this.spec.run));
  }

  #armTimeout(leftMs: number): void {
    const stepMs = Math.min(leftMs, LONGEST_TIMER_MS);
    this.#timer = this.#context.clock.after(stepMs, () => {
      if (leftMs > stepMs) this.#armTimeout(leftMs - stepMs);
      else this.#raise('timeout');
    });
  }

  async #syncLog(): Promise<void> {
    try {
      await this.log.sync();
    } catch (error) {
      this.#logger.warn({ err: error }, 'the log of a run cannot be brought onto the disk');
    }
  }

  async #closeLog(): Promise<void> {
    try {
      await this.log.close();
    } catch (error) {
      this.#logger.warn({ err: error }, 'the log of a run cannot be closed');
    }
  }

  /** For what only makes a later restart wiser; without it that one says `unknown`. */
  #tryJournal(write: () => void): void {
    try {
      write();
    } catch (error) {
      this.#logger.warn({ err: error }, 'the journal refused a fact about a run');
    }
  }

  /** False if this process lets go before the disk takes it. */
  #persist(what: string, write: () => void | Promise<void>): Promise<boolean> {
    return untilStored(write, {
      clock: this.#context.clock,
      signal: this.#letGo.signal,
      onFailure: (error) => this.#logger.error({ err: error, what }, 'a run cannot be recorded; trying on'),
    });
  }
}

/** The reason of a run that was not started, in the words of the outcome. */
function startFailure(error: unknown): string {
  if (error instanceof StartFailure) return error.message;
  if (error instanceof FleetError) return `${error.code}: ${error.message}`;
  return `spawn_failed: ${systemErrorCode(error) ?? String(error)}`;
}

function signalThrough(
  prefix: readonly [string, ...string[]],
  group: number,
): (signal: NodeJS.Signals) => Promise<void> {
  const [file, ...args] = prefix;
  return async (signal) => {
    await runTool(file, [...args, '/bin/kill', '-s', signal.slice(3), '--', `-${group}`]);
  };
}

function aborted(signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal.aborted) resolve();
    else signal.addEventListener('abort', () => resolve(), { once: true });
  });
}
