/** The command of one run as the node's process sees it: the shim executes it, this gives the orders and records what the shim reports. */
import type { RunSpec } from '../../protocol/run-spec.ts';
import { type Clock, sleep } from '../../shared/clock.ts';
import { runCgroupOf } from '../process/cgroup.ts';
import { ProcessGroup, terminateGroup } from '../process/process-group.ts';
import type { ProcessFacts, ProcessTable } from '../process/process-table.ts';
import type { CommandState, Order, OutputPast, RunPipes, ShimEvent, StartedCommand } from '../shim/messages.ts';
import type { FifoPool } from './fifo-pool.ts';
import type { JournalRow } from './journal-row.ts';
import { type Plan, type Planners, plannerOf } from './plan.ts';
import type { RunLog } from './run-log.ts';
import type { RunRecord } from './run-record.ts';
import type { RunEvent } from './run-state.ts';
import type { ShimLink } from './shim-link.ts';

/** How long the pipes are read after a kill, ms: a process that escaped it may hold them forever. */
const DRAIN_AFTER_KILL_MS = 1000;

export interface RunCommandContext {
  fifos: FifoPool;
  processes: ProcessTable;
  shim: ShimLink;
  clock: Clock;
  /** Gateway's time, ms. */
  now(): number;
  killGraceMs: number;
  /** Upper bound for the spec's own limit, bytes. */
  maxOutputBytes: number;
  planners: Planners;
}

export class RunCommand {
  readonly #spec: RunSpec;
  readonly #log: RunLog;
  readonly #record: RunRecord;
  readonly #context: RunCommandContext;
  readonly #tell: (event: RunEvent) => void;
  #group: ProcessGroup | undefined;
  #startedAt: number | null = null;
  #spaceBytes = 0;

  constructor(
    spec: RunSpec,
    log: RunLog,
    record: RunRecord,
    context: RunCommandContext,
    tell: (event: RunEvent) => void,
  ) {
    this.#spec = spec;
    this.#log = log;
    this.#record = record;
    this.#context = context;
    this.#tell = tell;
  }

  /** Undefined until it is known to be started. */
  get group(): ProcessGroup | undefined {
    return this.#group;
  }

  /** Gateway's time, ms; null until it is known to be started. */
  get startedAt(): number | null {
    return this.#startedAt;
  }

  /** Spool space that the output takes, bytes. */
  get spaceBytes(): number {
    return Math.max(this.#spaceBytes, this.#log.bytes);
  }

  /** @throws StartFailure if there is no command; FleetError `connection_lost` if that is unknown. */
  async start({ argv, cwd, env, input }: Plan, pipes: RunPipes, whole: boolean): Promise<void> {
    const { shim, now } = this.#context;
    const startedAt = Math.round(now());
    const order = { ...this.#order(pipes, startedAt), command: { argv, cwd, env, input }, whole };
    this.#started(await shim.start(order, (event) => this.#take(event)), pipes, startedAt);
  }

  /** What the shim knows of a command that a former process started, if anything. Its events come here from now on. */
  claim(): CommandState | undefined {
    return this.#context.shim.claim(this.#spec.run, (event) => this.#take(event));
  }

  /** Continues with a command that the shim has followed all along. */
  resume(state: CommandState, pipes: RunPipes | undefined): void {
    this.#started(state, pipes, state.startedAt);
    this.#log.advance(state.logBytes);
    this.#spaceBytes = state.spaceBytes;
    if (state.end !== null) this.#tell({ type: 'end', end: state.end });
    else if (state.exit !== null) this.#tell({ type: 'exit', exit: state.exit });
  }

  /** Takes up a command whose shim is gone. False if it is unknown whether there was one. @throws FleetError `connection_lost` */
  async adopt(row: JournalRow, past: OutputPast): Promise<boolean> {
    const { fifos, processes, shim, now } = this.#context;
    const found = findCommand(row, processes, (name) => fifos.path(name));
    if (found === undefined || row.place === null) return false;
    const { pipes } = row.place;
    const startedAt = row.startedAt ?? Math.round(now());
    this.#started(found, pipes, startedAt);
    const order = this.#order({ ...pipes, stdin: null }, startedAt);
    const { pid, identity, cgroup } = found;
    await shim.adopt({ ...order, pid, identity, cgroup, past, exit: row.exit }, (event) => this.#take(event));
    return true;
  }

  /** Ends all of its processes. Resolves with those that could not be ended, or undefined if `signal` aborts before. */
  async kill(signalWith: Plan['signalWith'], signal: AbortSignal): Promise<ProcessFacts[] | undefined> {
    const { clock, killGraceMs } = this.#context;
    return this.#group === undefined
      ? []
      : await terminateGroup(this.#group, { clock, killGraceMs, signal, signalWith });
  }

  /** After a kill: has the rest of the output read. Resolves with `ended`, or when the shim is gone. */
  async drain(ended: Promise<void>, signal: AbortSignal): Promise<void> {
    const { clock, shim } = this.#context;
    // The pipes are emptied at once, however slow the reader of the output is.
    shim.attend(this.#spec.run, 0);
    const drained = new AbortController();
    const isEnded = await Promise.race([
      ended.then(() => true),
      sleep(clock, DRAIN_AFTER_KILL_MS, AbortSignal.any([signal, drained.signal])),
    ]);
    drained.abort();
    if (isEnded !== true) shim.finish(this.#spec.run);
    // Even if this process is closing: it takes a moment, and saves the next one from finding out again that all are dead.
    await Promise.race([ended, shim.lost]);
  }

  /** The sender of stdin has finished: the command may see the end of its input. */
  closeStdin(): void {
    this.#context.shim.closeStdin(this.#spec.run);
  }

  /** Its end is recorded. */
  forget(): void {
    this.#context.shim.forget(this.#spec.run);
  }

  #order(pipes: RunPipes, startedAt: number): Order {
    const { planners, maxOutputBytes } = this.#context;
    return {
      run: this.#spec.run,
      pipes,
      maxOutputBytes: Math.min(this.#spec.maxOutputBytes, maxOutputBytes),
      startedAt,
      agent: plannerOf(planners, this.#spec).output(this.#spec),
    };
  }

  /** Records, first thing after the spawn, which process it is. */
  #started({ pid, identity, cgroup }: StartedCommand, pipes: RunPipes | undefined, startedAt: number): void {
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
    switch (event.event) {
      case 'output':
        this.#log.advance(event.logBytes);
        this.#spaceBytes = event.spaceBytes;
        return;
      case 'unsafe':
        this.#record.note((journal) => journal.setCounters(this.#spec.run, event.counters));
        return;
      case 'exit':
        this.#tell({ type: 'exit', exit: event.exit });
        return;
      case 'end':
        this.#tell({ type: 'end', end: event.end });
    }
  }
}

/** What is left of a run that no shim knows any more. */
export interface Inheritance {
  past: OutputPast;
  /** The shim was killed: output that it had read but not written yet is lost, in an unknown amount. */
  outputInDoubt: boolean;
}

/** Undefined if it is unknown whether there is, or was, such a process. */
function findCommand(
  row: JournalRow,
  processes: ProcessTable,
  pipePath: (name: string) => string,
): StartedCommand | undefined {
  // Without its identity, a pid may belong to a stranger by now.
  if (row.pid !== null && row.identity !== null) {
    return { pid: row.pid, identity: row.identity, cgroup: row.place?.cgroup };
  }
  if (row.place === null) return undefined;
  // The shim was killed around the spawn. Only the command holds its pipes.
  const found = processes.findHolder(pipePath(row.place.pipes.stdout));
  return found && { pid: found.pid, identity: found.identity, cgroup: runCgroupOf(found.pid) };
}
