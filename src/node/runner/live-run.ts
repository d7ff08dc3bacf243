/** One run from its acceptance to its end: starts the command, follows it, ends it when it must, and lets go of it unharmed. */
import type { RunSpec, RunStatus } from '../../protocol/run-spec.ts';
import { type Clock, sleep, type Timer } from '../../shared/clock.ts';
import { FleetError, systemErrorCode } from '../../shared/errors.ts';
import type { Logger } from '../../shared/logger.ts';
import type { Agents } from './agents.ts';
import type { CommandPlan } from './command-plan.ts';
import type { FifoPool } from './fifo-pool.ts';
import type { Journal } from './journal.ts';
import type { JournalRow, KillCause, RunPhase, RunPipes } from './journal-row.ts';
import { closePipes, type Launched, launch, openPipes, reopenPipes } from './launch.ts';
import type { RunEnding } from './outcome.ts';
import { leaderGone, ProcessGroup, terminateGroup } from './process-group.ts';
import type { ProcessTable } from './process-table.ts';
import { type OutputPast, RunOutput } from './run-output.ts';
import { RunRecord } from './run-record.ts';
import { type CommandExit, runTool } from './spawn.ts';
import { StartFailure } from './start-failure.ts';
import { StdinPipe } from './stdin-pipe.ts';

/** What escaped from a group that was killed may hold the pipes for ever; what is in them is read for this long, ms. */
const DRAIN_AFTER_KILL_MS = 1000;
/** Longest time that Node.js's timers can count, ms. */
const LONGEST_TIMER_MS = 2 ** 31 - 1;

export const RESTARTED = 'node_restarted: exit code could not be observed';
const NO_BYTES = { stdoutBytes: 0, stderrBytes: 0 };
const NO_PAST: OutputPast = { logBytes: 0, written: NO_BYTES, kept: NO_BYTES, told: NO_BYTES };

export interface LiveRunContext {
  journal: Journal;
  fifos: FifoPool;
  processes: ProcessTable;
  clock: Clock;
  /** Gateway's time, ms. */
  now(): number;
  killGraceMs: number;
  /** What the spec asks for is lowered to it, bytes. */
  maxOutputBytes: number;
  logger: Logger;
  agents: Agents;
  /** @throws StartFailure */
  plan(spec: RunSpec): Promise<CommandPlan>;
  logPath(run: string): string;
}

/** What a former process left of a run. */
export interface Inheritance {
  row: JournalRow;
  past: OutputPast;
  /** The former process was killed: what it had read, and not yet written, is lost, and nobody knows how much that was. */
  outputInDoubt: boolean;
}

export class LiveRun {
  readonly spec: RunSpec;
  /** Undefined unless somebody shall send stdin. */
  readonly stdin: StdinPipe | undefined;
  readonly #context: LiveRunContext;
  readonly #logger: Logger;
  readonly #output: RunOutput;
  readonly #record: RunRecord;
  readonly #inheritance: Inheritance | undefined;
  #phase: RunPhase;
  #startedAt: number | null;
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
  /** Ends the wait for a turn. */
  readonly #noTurn = new AbortController();
  #giveSlotBack: (() => void) | undefined;
  readonly #ended = Promise.withResolvers<RunStatus>();
  readonly #over = Promise.withResolvers<void>();
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
      past: inheritance?.past ?? NO_PAST,
      maxOutputBytes: Math.min(spec.maxOutputBytes, context.maxOutputBytes),
      onUnsafe: (counters) => this.#record.note((open) => open.setCounters(spec.run, counters)),
      logger: this.#logger,
    });
    const { journal, clock, now } = context;
    const signal = this.#letGo.signal;
    const agent = context.agents.startedAs(spec);
    this.#record = new RunRecord({
      spec,
      agent,
      journal,
      output: this.#output,
      outputInDoubt: inheritance?.outputInDoubt ?? false,
      clock,
      now,
      logger: this.#logger,
      signal,
    });
    // Of a former process's run, what was sent by then is gone with it.
    if (spec.stdin && this.#phase === 'accepted') {
      this.stdin = new StdinPipe({ onComplete: () => this.#stdinComplete(), onLost: () => this.kill('stdin_lost') });
    }
    // Whoever waits gets it from `ended`; that nobody waits is no fault.
    this.#ended.promise.catch(() => {});
  }

  get log(): RunOutput['log'] {
    return this.#output.log;
  }

  /** What the output takes of the spool's room, bytes. */
  get spaceBytes(): number {
    return this.#output.spaceBytes;
  }

  /** Resolves when the outcome is durable and the log complete. @throws FleetError `connection_lost` when this process lets go first. */
  get ended(): Promise<RunStatus> {
    return this.#ended.promise;
  }

  /** Resolves when the command is gone, though perhaps not recorded yet. */
  get over(): Promise<void> {
    return this.#over.promise;
  }

  /** Whether the command waits for a stdin that ends with this process. */
  get needsStdin(): boolean {
    return this.#stdinOpen && this.#group !== undefined && !this.#sealed;
  }

  get status(): RunStatus {
    const { outcome } = this.#record;
    const state = outcome?.state ?? (this.#phase === 'started' ? 'running' : 'delivered');
    return { run: this.spec.run, state, outcome, logBytes: this.log.bytes };
  }

  /** Begins the work in the background: a run that was surely never spawned is started, another one followed to its end. */
  begin(): void {
    const { row } = this.#inheritance ?? {};
    const work = row === undefined || row.phase === 'accepted' ? this.#start() : this.#adopt(row);
    this.#working = work.catch((error: unknown) => {
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
    this.#unref?.();
    await this.#output.stop();
    this.stdin?.discard();
    if (this.#record.outcome === null) await this.#output.save();
    if (this.#phase === 'started') {
      this.#record.note((journal) => journal.setCounters(this.spec.run, this.#output.counters));
    }
    await this.#record.closeLog();
    this.#ended.reject(new FleetError('connection_lost', 'the node lets go of the run; it goes on after its restart'));
  }

  async #start(): Promise<void> {
    const { fifos, plan, agents } = this.#context;
    this.#giveSlotBack = await agents.takeSlot(this.spec, this.#noTurn.signal);
    if (this.#giveSlotBack === undefined) return await this.#follow();
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
    const open = openPipes(this.#pipes, (name) => fifos.path(name), command.input);
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
    const { processes } = this.#context;
    // The process cannot have been collected yet, so it is in the table even if it is done already.
    this.#belongsTo(pid, processes.find(pid)?.identity);
    this.#unref = unref;
    this.#exited = exited.then((exit) => this.#observe(exit));
    this.#output.attach(stdoutFd, stderrFd);
    if (stdinFd !== null) this.stdin?.attach(stdinFd);
    if (this.spec.timeoutMs !== undefined) this.#armTimeout(this.spec.timeoutMs);
  }

  /** Records, as the first thing after the spawn, which process it is. */
  #belongsTo(pid: number, identity: string | undefined): void {
    const startedAt = Math.round(this.#context.now());
    this.#group = new ProcessGroup(pid, identity, this.#context.processes);
    this.#startedAt = startedAt;
    this.#phase = 'started';
    this.#record.started({ pid, identity, startedAt });
  }

  async #adopt(row: JournalRow): Promise<void> {
    const { fifos, processes, now, clock, agents } = this.#context;
    this.#giveSlotBack = agents.occupySlot(this.spec);
    // Without the proof that it is still the same process, a pid is but a number that may be a stranger's by now.
    if (row.pid !== null && row.identity !== null) {
      this.#group = new ProcessGroup(row.pid, row.identity, processes);
    } else if (row.pipes !== null) {
      // The former process was killed just when it had spawned the command, or was about to. Only the command holds its pipes.
      const found = processes.findHolder(fifos.path(row.pipes.stdout));
      if (found !== undefined) this.#belongsTo(found.pid, found.identity);
    }
    const group = this.#group;
    await this.#output.restore();
    if (group === undefined || row.pipes === null) {
      const reason = 'node_restarted: it is not known whether the command was started';
      return await this.#end({ kind: 'unknown', reason });
    }
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
    if (row.stdinOpen && group.isAlive()) this.kill('stdin_lost');
    const { timeoutMs } = this.spec;
    const ranMs = Math.max(0, now() - (this.#startedAt ?? now()));
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
    let cameToItsEnd = false;
    const natural = Promise.all([this.#exited, this.#output.drained()]).then(([exit]) => {
      // After that moment only this process's own looking has ended.
      cameToItsEnd = !signal.aborted;
      return exit;
    });
    if (this.#cause === undefined) await Promise.race([natural, this.#causeRaised.promise, aborted(signal)]);
    if (this.#cause !== undefined) return await this.#endByForce(this.#cause, natural);
    if (!cameToItsEnd) return;
    this.#sealed = true;
    const exit = await natural;
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
    this.#sealed = true;
    this.#timer?.cancel();
    this.#giveSlotBack?.();
    this.#over.resolve();
    const drained = this.#output.isDrained;
    await this.#output.stop();
    this.stdin?.discard();
    if (!(await this.#record.end(ending, this.#startedAt))) return;
    this.#phase = 'ended';
    const names = [this.#pipes?.stdout, this.#pipes?.stderr, this.#pipes?.stdin];
    this.#context.fifos.release(
      names.filter((name) => typeof name === 'string'),
      drained,
    );
    this.#ended.resolve(this.status);
  }

  /** Something in the background may hold the pipes long after the command's own end, which is then worth remembering. */
  #observe(exit: CommandExit): CommandExit {
    const later = !this.#output.isDrained || this.#letGo.signal.aborted;
    if (later && !this.log.stopped) this.#record.note((journal) => journal.setExit(this.spec.run, exit));
    return exit;
  }

  #stdinComplete(): void {
    this.#stdinOpen = false;
    this.#record.note((journal) => journal.setStdinComplete(this.spec.run));
  }

  #armTimeout(leftMs: number): void {
    const stepMs = Math.min(leftMs, LONGEST_TIMER_MS);
    this.#timer = this.#context.clock.after(stepMs, () => {
      if (leftMs > stepMs) this.#armTimeout(leftMs - stepMs);
      else this.kill('timeout');
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
