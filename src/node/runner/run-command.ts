/** The command of one run, as the node's process sees it: the shim has it, this tells the shim what to do, and keeps what it says. */
import type { RunSpec } from '../../protocol/run-spec.ts';
import { type Clock, sleep } from '../../shared/clock.ts';
import { runCgroupOf } from '../process/cgroup.ts';
import { ProcessGroup, terminateGroup } from '../process/process-group.ts';
import type { ProcessFacts, ProcessTable } from '../process/process-table.ts';
import type {
  CommandEnd,
  CommandExit,
  CommandState,
  Order,
  OutputPast,
  RunPipes,
  ShimEvent,
  StartedCommand,
} from '../shim/messages.ts';
import type { Agents } from './agents.ts';
import type { CommandPlan } from './command-plan.ts';
import type { FifoPool } from './fifo-pool.ts';
import type { JournalRow, RunPlace } from './journal-row.ts';
import type { RunLog } from './run-log.ts';
import type { RunRecord } from './run-record.ts';
import type { ShimLink } from './shim-link.ts';

/** What escaped from a group that was killed may hold the pipes for ever; what is in them is read for this long, ms. */
const DRAIN_AFTER_KILL_MS = 1000;

export interface RunCommandContext {
  fifos: FifoPool;
  processes: ProcessTable;
  shim: ShimLink;
  clock: Clock;
  /** Gateway's time, ms. */
  now(): number;
  killGraceMs: number;
  /** What the spec asks for is lowered to it, bytes. */
  maxOutputBytes: number;
  agents: Agents;
}

export class RunCommand {
  readonly #spec: RunSpec;
  readonly #log: RunLog;
  readonly #record: RunRecord;
  readonly #context: RunCommandContext;
  #group: ProcessGroup | undefined;
  #startedAt: number | null = null;
  #spaceBytes = 0;
  #ordered = false;
  #end: CommandEnd | undefined;
  readonly #ended = Promise.withResolvers<void>();
  readonly #onExit: (exit: CommandExit) => void;

  /** @param onExit is called when the command's first process is gone, and something still holds its pipes. */
  constructor(
    spec: RunSpec,
    log: RunLog,
    record: RunRecord,
    context: RunCommandContext,
    onExit: (exit: CommandExit) => void,
  ) {
    this.#onExit = onExit;
    this.#spec = spec;
    this.#log = log;
    this.#record = record;
    this.#context = context;
  }

  /** Undefined until it is known that it was started. */
  get group(): ProcessGroup | undefined {
    return this.#group;
  }

  /** Gateway's time, ms; null until it is known that it was started. */
  get startedAt(): number | null {
    return this.#startedAt;
  }

  /** Whether the shim may know of it. */
  get ordered(): boolean {
    return this.#ordered;
  }

  /** What the shim tells at its end; its log is complete but for the end frame then. */
  get end(): CommandEnd | undefined {
    return this.#end;
  }

  /** Resolves with `end`. */
  get ended(): Promise<void> {
    return this.#ended.promise;
  }

  /** What the output takes of the spool's room, bytes. */
  get spaceBytes(): number {
    return Math.max(this.#spaceBytes, this.#log.bytes);
  }

  /** @throws StartFailure when there is no command; FleetError `connection_lost` when nobody knows. */
  async start(plan: CommandPlan, { pipes }: RunPlace, whole: boolean): Promise<void> {
    const { shim, now } = this.#context;
    const { argv, cwd, env, input } = plan;
    const startedAt = Math.round(now());
    this.#ordered = true;
    const order = { ...this.#order(pipes, startedAt), command: { argv, cwd, env, input }, whole };
    const started = await shim.start(order, (event) => this.#take(event));
    this.#isProcess(started, pipes, startedAt);
  }

  /** What the shim still knows of a command that a former process has started; undefined if it does not. */
  claim(): CommandState | undefined {
    return this.#context.shim.claim(this.#spec.run, (event) => this.#take(event));
  }

  /** Goes on with a command that the shim has followed all the time. */
  resume(state: CommandState, place: RunPlace | null): void {
    this.#ordered = true;
    this.#isProcess(state, place?.pipes, state.startedAt);
    this.#log.advance(state.logBytes);
    this.#spaceBytes = state.spaceBytes;
    const { run } = this.#spec;
    if (state.end !== null) this.#take({ run, event: 'end', end: state.end });
    else if (state.exit !== null) this.#take({ run, event: 'exit', exit: state.exit });
  }

  /** Takes up a command whose shim is gone. False if nobody can say whether there was one. @throws FleetError `connection_lost` */
  async adopt(row: JournalRow, past: OutputPast): Promise<boolean> {
    const { fifos, processes, shim, now } = this.#context;
    const found = findCommand(row, processes, (name) => fifos.path(name));
    if (found === undefined || row.place === null) return false;
    const startedAt = row.startedAt ?? Math.round(now());
    this.#isProcess(found, row.place.pipes, startedAt);
    this.#ordered = true;
    const order = this.#order({ ...row.place.pipes, stdin: null }, startedAt);
    const { pid, identity, cgroup } = found;
    await shim.adopt({ ...order, pid, identity, cgroup, past, exit: row.exit }, (event) => this.#take(event));
    return true;
  }

  /**
   * Ends all that belongs to the command, and reads what is left of its output; `onDead` is called in between. Resolves with what could
   * not be ended, or undefined if `signal` aborted before.
   */
  async terminate(
    signalWith: CommandPlan['signalWith'],
    signal: AbortSignal,
    onDead: () => void,
  ): Promise<ProcessFacts[] | undefined> {
    const { clock, killGraceMs, shim } = this.#context;
    if (this.#group === undefined) return [];
    const left = await terminateGroup(this.#group, { clock, killGraceMs, signal, signalWith });
    if (left === undefined) return undefined;
    onDead();
    // What is left in the pipes is read at once, however slow the one is who takes it.
    shim.attend(this.#spec.run, 0);
    const drainTime = new AbortController();
    await Promise.race([this.ended, sleep(clock, DRAIN_AFTER_KILL_MS, AbortSignal.any([signal, drainTime.signal]))]);
    drainTime.abort();
    if (this.#end === undefined) shim.finish(this.#spec.run);
    // Also when this process lets go: it is but a moment, and the next one need not find out again that all are dead.
    await Promise.race([this.ended, shim.lost]);
    return this.#end === undefined ? undefined : left;
  }

  /** The sender of stdin is done: the command may see its end. */
  closeStdin(): void {
    this.#context.shim.closeStdin(this.#spec.run);
  }

  /** Its end is recorded. */
  forget(): void {
    if (this.#ordered) this.#context.shim.forget(this.#spec.run);
  }

  #order(pipes: Order['pipes'], startedAt: number): Order {
    const { agents, maxOutputBytes } = this.#context;
    return {
      run: this.#spec.run,
      pipes,
      maxOutputBytes: Math.min(this.#spec.maxOutputBytes, maxOutputBytes),
      startedAt,
      agent: agents.startedAs(this.#spec),
    };
  }

  /** Records, as the first thing after the spawn, which process it is. */
  #isProcess({ pid, identity, cgroup }: StartedCommand, pipes: RunPipes | undefined, startedAt: number): void {
    const { processes, fifos, shim } = this.#context;
    const names = [pipes?.stdout, pipes?.stderr, pipes?.stdin].filter((name) => typeof name === 'string');
    this.#group = new ProcessGroup(pid, identity, processes, {
      run: this.#spec.run,
      pipes: names.map((name) => fifos.path(name)),
      cgroup,
      spare: [process.pid, shim.pid],
    });
    this.#startedAt = startedAt;
    this.#record.started({ pid, identity, cgroup, startedAt });
  }

  #take(event: ShimEvent): void {
    const { run } = this.#spec;
    switch (event.event) {
      case 'output':
        this.#log.advance(event.logBytes);
        this.#spaceBytes = event.spaceBytes;
        return;
      case 'exit':
        this.#onExit(event.exit);
        return;
      case 'unsafe':
        this.#record.note((journal) => journal.setCounters(run, event.counters));
        return;
      case 'end':
        this.#end = event.end;
        this.#ended.resolve();
    }
  }
}

/** What is left of a run that no shim knows any more. */
export interface Inheritance {
  past: OutputPast;
  /** The shim was killed: what it had read, and not yet written, is lost, and nobody knows how much that was. */
  outputInDoubt: boolean;
}

/** Undefined if it cannot be told whether there is, or was, such a process. */
function findCommand(
  row: JournalRow,
  processes: ProcessTable,
  pipePath: (name: string) => string,
): StartedCommand | undefined {
  // Without the proof that it is still the same process, a pid is but a number that may be a stranger's by now.
  if (row.pid !== null && row.identity !== null) {
    return { pid: row.pid, identity: row.identity, cgroup: row.place?.cgroup };
  }
  if (row.place === null) return undefined;
  // Killed just when the command had been spawned, or was about to be. Only the command holds its pipes.
  const found = processes.findHolder(pipePath(row.place.pipes.stdout));
  return found && { pid: found.pid, identity: found.identity, cgroup: runCgroupOf(found.pid) };
}
