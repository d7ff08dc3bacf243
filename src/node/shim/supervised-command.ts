/** One command under the shim: started or adopted, its output written to its log, its exit observed. */
import { closeSync } from 'node:fs';
import { MAX_HOLDERS } from '../../domain/limits.ts';
import { encodeFrame, FRAME_TYPE } from '../../protocol/frames.ts';
import type { Clock, Timer } from '../../shared/clock.ts';
import type { Logger } from '../../shared/logger.ts';
import { leaderGone, ProcessGroup } from '../process/process-group.ts';
import { type ProcessTable, printableName } from '../process/process-table.ts';
import { launch } from './launch.ts';
import type { LiveWindow } from './live-window.ts';
import type {
  AdoptOrder,
  CommandEnd,
  CommandExit,
  CommandState,
  OutputPast,
  ShimEvent,
  StartedCommand,
  StartOrder,
} from './messages.ts';
import { openPipes, reopenPipes } from './pipes.ts';
import { countOomKills, spawnAsFirstVictim, wasOomKilled } from './resources.ts';
import type { RunCgroups } from './run-cgroups.ts';
import { RunOutput } from './run-output.ts';

/** Delay before a start is reported on its own, ms; output or the end report it earlier. */
const REPORT_START_AFTER_MS = 5;
/** Output that is open this long after the exit is held by another process, ms: what was in the pipes has been read. */
const HELD_AFTER_MS = 1_000;

const NO_BYTES = { stdoutBytes: 0, stderrBytes: 0 };
const NO_PAST: OutputPast = { logBytes: 0, written: NO_BYTES, kept: NO_BYTES, told: NO_BYTES };

export interface SupervisedCommandContext {
  processes: ProcessTable;
  cgroups: RunCgroups;
  clock: Clock;
  logger: Logger;
  logPath(run: string): string;
  /** Path of a FIFO, or of another file in its folder. */
  pipePath(name: string): string;
  emit(event: ShimEvent): void;
}

export class SupervisedCommand {
  readonly #order: StartOrder | AdoptOrder;
  readonly #context: SupervisedCommandContext;
  readonly #logger: Logger;
  readonly #output: RunOutput;
  #process: StartedCommand | undefined;
  #exit: CommandExit | null = null;
  #end: CommandEnd | null = null;
  #finishing: Promise<void> | undefined;
  /** Write end of the command's stdin, held so that the death of the sender doesn't look like the end of input. */
  #stdinFd: number | null = null;
  readonly #finished = new AbortController();
  readonly #abandoned = Promise.withResolvers<void>();
  #reporting = false;
  #startTimer: Timer | undefined;
  #heldTimer: Timer | undefined;

  constructor(order: StartOrder | AdoptOrder, context: SupervisedCommandContext) {
    const { run } = order;
    this.#order = order;
    this.#context = context;
    this.#logger = context.logger.child({ run });
    this.#output = new RunOutput({
      logPath: context.logPath(run),
      past: 'past' in order ? order.past : NO_PAST,
      maxOutputBytes: order.maxOutputBytes,
      whole: 'whole' in order && order.whole === true,
      clock: context.clock,
      onWritten: () => this.#reportOutput(),
      onUnsafe: (counters) => context.emit({ run, event: 'unsafe', counters }),
      logger: this.#logger,
    });
  }

  /** Whether its log is complete except for the end frame. */
  get ended(): boolean {
    return this.#end !== null;
  }

  /** For a follower that takes all output, if there is one. */
  get live(): LiveWindow | undefined {
    return this.#output.live;
  }

  /** @throws Error before it is started. */
  get state(): CommandState {
    const { run, startedAt } = this.#order;
    if (this.#process === undefined) throw new Error(`${run} is not started yet`);
    const { log, spaceBytes } = this.#output;
    return { ...this.#process, run, startedAt, logBytes: log.bytes, spaceBytes, exit: this.#exit, end: this.#end };
  }

  /** @throws StartFailure, or the system's error: then there is no command. */
  async start({ command, pipes }: StartOrder): Promise<StartedCommand> {
    const { processes, cgroups, pipePath } = this.#context;
    const open = openPipes(pipes, pipePath, command.input);
    const { result: launching, cgroup } = await cgroups.around(() => spawnAsFirstVictim(() => launch(command, open)));
    const { pid, exited, stdoutFd, stderrFd, stdinFd } = await launching.catch(async (error: unknown) => {
      if (cgroup !== undefined) await cgroups.release(cgroup);
      throw error;
    });
    const oomKills = countOomKills(cgroup);
    // Not reaped yet, so it is in the table even if it has exited.
    this.#process = { pid, identity: processes.find(pid)?.identity, cgroup };
    this.#stdinFd = stdinFd;
    this.#appendFacts({ agent: this.#order.agent });
    this.#output.attach(stdoutFd, stderrFd);
    this.#follow(
      exited.then((exit) =>
        wasOomKilled(exit, oomKills, countOomKills(cgroup)) ? { ...exit, oomKilled: true } : exit,
      ),
    );
    return this.#process;
  }

  /** Follows what another shim has started. */
  adopt({ pid, identity, cgroup, pipes, past, exit, agent }: AdoptOrder): void {
    const { processes, clock, pipePath } = this.#context;
    this.#process = { pid, identity, cgroup };
    if (past.logBytes === 0) this.#appendFacts({ agent });
    try {
      const { stdoutFd, stderrFd } = reopenPipes(pipes, pipePath);
      this.#output.attach(stdoutFd, stderrFd);
    } catch (error) {
      this.#logger.warn({ err: error }, 'the pipes of an adopted run are gone');
    }
    const group = new ProcessGroup(pid, identity, processes);
    const gone = leaderGone(group, clock, this.#finished.signal).then(() => null);
    this.#follow(exit === null ? gone : Promise.resolve(exit));
  }

  /** The sender of stdin is done: the command gets end of file. Idempotent. */
  closeStdin(): void {
    if (this.#stdinFd !== null) closeSync(this.#stdinFd);
    this.#stdinFd = null;
  }

  /** Stops reading, drained or not, and completes the log except for its end frame. An event reports it, again if it already was. */
  async finish(): Promise<void> {
    if (this.#end !== null) this.#context.emit({ run: this.#order.run, event: 'end', end: this.#end });
    else await this.#finishOnce();
  }

  /** The log can no longer be read: don't wait for processes that hold the pipes after the command's exit. Idempotent. */
  abandon(): void {
    this.#abandoned.resolve();
  }

  /** Everything about it is recorded. */
  async forget(): Promise<void> {
    this.live?.release();
    const cgroup = this.#process?.cgroup;
    if (cgroup !== undefined) await this.#context.cgroups.release(cgroup);
  }

  /** A frame without output: that the command was started, and later who holds its output. */
  #appendFacts(more: object): void {
    const facts = { startedAt: this.#order.startedAt, pid: this.#process?.pid, ...more };
    this.#output.log.append(encodeFrame(FRAME_TYPE.started, Buffer.from(JSON.stringify(facts))), () => {});
  }

  #follow(exited: Promise<CommandExit | null>): void {
    const { clock, emit } = this.#context;
    const seen = exited.then((exit) => {
      this.#exit = exit;
      // A background process may hold the pipes long after the command's exit.
      if (exit === null || this.#output.isDrained) return;
      emit({ run: this.#order.run, event: 'exit', exit });
      this.#heldTimer = clock.after(HELD_AFTER_MS, () => this.#noteHolders(exit));
    });
    Promise.all([seen, Promise.race([this.#output.drained(), this.#abandoned.promise])])
      .then(() => this.#finishOnce())
      .catch((error: unknown) => this.#logger.error({ err: error }, 'cannot follow a command any more'));
  }

  #noteHolders(exit: CommandExit): void {
    if (this.#finishing !== undefined || this.#output.isDrained) return;
    const { processes, pipePath } = this.#context;
    const { stdout, stderr } = this.#order.pipes;
    const holders = processes
      .holders([pipePath(stdout), pipePath(stderr)])
      .filter(({ pid }) => pid !== process.pid)
      .slice(0, MAX_HOLDERS)
      .map((facts) => ({ pid: facts.pid, name: printableName(facts) || '?' }));
    this.#appendFacts({ exited: { ...exit, holders } });
  }

  #finishOnce(): Promise<void> {
    this.#finishing ??= this.#finish();
    return this.#finishing;
  }

  async #finish(): Promise<void> {
    const output = this.#output;
    this.#finished.abort();
    this.#heldTimer?.cancel();
    const drained = output.isDrained;
    await output.stop();
    this.closeStdin();
    await output.finish();
    const { counters } = output;
    // The outcome counts these bytes, so they must be as durable as it is.
    if (counters.stdoutBytes + counters.stderrBytes > 0) await this.#attempt('sync', () => output.log.sync());
    await this.#attempt('close', () => output.log.close());
    const error = output.error === undefined ? null : output.error.message;
    this.#end = { exit: this.#exit, drained, logBytes: output.log.bytes, counters, error };
    await this.finish();
  }

  async #attempt(what: string, action: () => Promise<void>): Promise<void> {
    await action().catch((error: unknown) => this.#logger.warn({ err: error, what }, "a run's log failed"));
  }

  /** Once for everything written in one turn of the event loop. */
  #reportOutput(): void {
    const { stdoutBytes, stderrBytes } = this.#output.counters;
    if (stdoutBytes + stderrBytes === 0) {
      this.#startTimer ??= this.#context.clock.after(REPORT_START_AFTER_MS, () => this.#report());
    } else if (!this.#reporting) {
      this.#reporting = true;
      setImmediate(() => this.#report());
    }
  }

  #report(): void {
    this.#reporting = false;
    this.#startTimer?.cancel();
    this.#startTimer = undefined;
    if (this.#end !== null) return;
    const { log, spaceBytes } = this.#output;
    this.#context.emit({ run: this.#order.run, event: 'output', logBytes: log.bytes, spaceBytes });
  }
}
