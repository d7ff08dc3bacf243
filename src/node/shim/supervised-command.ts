/** One command under the shim: started or adopted, its output taken into its log, its exit seen. */
import { closeSync } from 'node:fs';
import { MAX_HOLDERS } from '../../domain/limits.ts';
import { encodeFrame, FRAME_TYPE } from '../../protocol/frames.ts';
import type { Clock, Timer } from '../../shared/clock.ts';
import type { Logger } from '../../shared/logger.ts';
import { leaderGone, ProcessGroup } from '../process/process-group.ts';
import { type ProcessTable, printableName } from '../process/process-table.ts';
import { launch, openPipes, reopenPipes } from './launch.ts';
import type { LiveWindow } from './live-window.ts';
import type {
  AdoptOrder,
  CommandEnd,
  CommandExit,
  CommandState,
  Order,
  OutputPast,
  RunPipes,
  ShimEvent,
  StartedCommand,
  StartOrder,
} from './messages.ts';
import type { RunCgroups } from './run-cgroups.ts';
import { countOomKills, spawnAsFirstVictim, wasOomKilled } from './run-cgroups.ts';
import { RunOutput } from './run-output.ts';

/** That it was started is told so late, ms, unless there is more to tell: its output, or its end. */
const TELL_START_AFTER_MS = 5;

/** Output that is open this long after the command's exit is held by something else, ms: what was in the pipes has been read. */
const HELD_AFTER_MS = 1_000;

const NO_BYTES = { stdoutBytes: 0, stderrBytes: 0 };
const NO_PAST: OutputPast = { logBytes: 0, written: NO_BYTES, kept: NO_BYTES, told: NO_BYTES };

export interface SupervisedCommandContext {
  processes: ProcessTable;
  cgroups: RunCgroups;
  clock: Clock;
  logger: Logger;
  logPath(run: string): string;
  /** Path of a FIFO, or of another file in the same folder. */
  pipePath(name: string): string;
  emit(event: ShimEvent): void;
}

export class SupervisedCommand {
  readonly #run: string;
  readonly #startedAt: number;
  readonly #context: SupervisedCommandContext;
  readonly #logger: Logger;
  readonly #output: RunOutput;
  #process: StartedCommand | undefined;
  #exit: CommandExit | null = null;
  #end: CommandEnd | null = null;
  #finishing: Promise<void> | undefined;
  /** The writing end of the command's stdin, held so that the death of the one who sends it does not look like its end. */
  #stdinFd: number | null = null;
  readonly #finished = new AbortController();
  readonly #abandoned = Promise.withResolvers<void>();
  #telling = false;
  #startTimer: Timer | undefined;
  #heldTimer: Timer | undefined;

  constructor(order: StartOrder | AdoptOrder, context: SupervisedCommandContext) {
    this.#run = order.run;
    this.#startedAt = order.startedAt;
    this.#context = context;
    this.#logger = context.logger.child({ run: order.run });
    this.#output = new RunOutput({
      logPath: context.logPath(order.run),
      past: 'past' in order ? order.past : NO_PAST,
      maxOutputBytes: order.maxOutputBytes,
      whole: 'whole' in order && order.whole === true,
      clock: context.clock,
      onWritten: () => this.#tellOutput(),
      onUnsafe: (counters) => context.emit({ run: this.#run, event: 'unsafe', counters }),
      logger: this.#logger,
    });
  }

  /** Whether its log is complete but for the end frame. */
  get ended(): boolean {
    return this.#end !== null;
  }

  /** For whoever takes all of the output; undefined if nobody does. */
  get live(): LiveWindow | undefined {
    return this.#output.live;
  }

  /** @throws Error before it is started: nobody may take it for a process. */
  get state(): CommandState {
    if (this.#process === undefined) throw new Error(`${this.#run} is not started yet`);
    const { pid, identity, cgroup } = this.#process;
    const { log, spaceBytes } = this.#output;
    const [run, exit, end] = [this.#run, this.#exit, this.#end];
    return { run, pid, identity, cgroup, startedAt: this.#startedAt, logBytes: log.bytes, spaceBytes, exit, end };
  }

  /** @throws StartFailure, or the system's error: then there is no command. */
  async start(order: StartOrder): Promise<StartedCommand> {
    const { processes, cgroups, pipePath } = this.#context;
    const open = openPipes(order.pipes, pipePath, order.command.input);
    const { result: launching, cgroup } = await cgroups.around(() =>
      spawnAsFirstVictim(() => launch(order.command, open)),
    );
    const { pid, exited, stdoutFd, stderrFd, stdinFd } = await launching.catch(async (error: unknown) => {
      if (cgroup !== undefined) await cgroups.release(cgroup);
      throw error;
    });
    const oomKills = countOomKills(cgroup);
    // The process cannot have been collected yet, so it is in the table even if it is done already.
    this.#process = { pid, identity: processes.find(pid)?.identity, cgroup };
    this.#stdinFd = stdinFd;
    this.#writeStarted(order, pid);
    this.#output.attach(stdoutFd, stderrFd);
    this.#follow(
      exited.then((exit) =>
        wasOomKilled(exit, oomKills, countOomKills(cgroup)) ? { ...exit, oomKilled: true } : exit,
      ),
      order,
    );
    return this.#process;
  }

  /** Follows what another shim has started. */
  adopt(order: AdoptOrder): void {
    const { pid, identity, cgroup, pipes, exit } = order;
    const { processes, clock, pipePath } = this.#context;
    this.#process = { pid, identity, cgroup };
    if (order.past.logBytes === 0) this.#writeStarted(order, pid);
    try {
      const { stdoutFd, stderrFd } = reopenPipes(pipes, pipePath);
      this.#output.attach(stdoutFd, stderrFd);
    } catch (error) {
      this.#logger.warn({ err: error }, 'the pipes of an inherited run are gone');
    }
    const group = new ProcessGroup(pid, identity, processes);
    const gone = leaderGone(group, clock, this.#finished.signal).then(() => null);
    this.#follow(exit === null ? gone : Promise.resolve(exit), order);
  }

  /** The sender of stdin is done: the command sees its end. Idempotent. */
  closeStdin(): void {
    if (this.#stdinFd !== null) closeSync(this.#stdinFd);
    this.#stdinFd = null;
  }

  /**
   * Reads no further, whether the pipes are drained or not, and completes the log but for its end frame; an event tells when, again if
   * it was told before: whoever asks has not heard it.
   */
  async finish(): Promise<void> {
    if (this.#end !== null) this.#tellEnd(this.#end);
    else await this.#finishOnce();
  }

  /** Nobody can read its log any more: what still holds its pipes after its own end is not waited for. Idempotent. */
  abandon(): void {
    this.#abandoned.resolve();
  }

  /** Everything about it is recorded. */
  async forget(): Promise<void> {
    const cgroup = this.#process?.cgroup;
    if (cgroup !== undefined) await this.#context.cgroups.release(cgroup);
  }

  #writeStarted({ startedAt, agent }: Order, pid: number): void {
    const facts = Buffer.from(JSON.stringify({ startedAt, pid, agent }));
    this.#output.log.append(encodeFrame(FRAME_TYPE.started, facts), () => {});
  }

  #follow(exited: Promise<CommandExit | null>, { pipes }: Order): void {
    const seen = exited.then((exit) => {
      this.#exit = exit;
      // Something in the background may hold the pipes long after the command's own end.
      if (exit === null || this.#output.isDrained) return;
      this.#context.emit({ run: this.#run, event: 'exit', exit });
      this.#heldTimer = this.#context.clock.after(HELD_AFTER_MS, () => this.#writeExited(exit, pipes));
    });
    Promise.all([seen, Promise.race([this.#output.drained(), this.#abandoned.promise])])
      .then(() => this.#finishOnce())
      .catch((error: unknown) => this.#logger.error({ err: error }, 'a command cannot be followed any more'));
  }

  /** Says in the log that the command is over, and who still holds its output. */
  #writeExited(exit: CommandExit, { stdout, stderr }: RunPipes): void {
    if (this.#finishing !== undefined || this.#output.isDrained) return;
    const { processes, pipePath } = this.#context;
    const holders = processes
      .holders([pipePath(stdout), pipePath(stderr)])
      .filter(({ pid }) => pid !== process.pid)
      .slice(0, MAX_HOLDERS)
      .map((facts) => ({ pid: facts.pid, name: printableName(facts) || '?' }));
    const facts = { startedAt: this.#startedAt, pid: this.#process?.pid, exited: { ...exit, holders } };
    this.#output.log.append(encodeFrame(FRAME_TYPE.started, Buffer.from(JSON.stringify(facts))), () => {});
  }

  #finishOnce(): Promise<void> {
    this.#finishing ??= this.#finish();
    return this.#finishing;
  }

  async #finish(): Promise<void> {
    this.#finished.abort();
    this.#heldTimer?.cancel();
    const output = this.#output;
    const drained = output.isDrained;
    await output.stop();
    this.closeStdin();
    await output.finish();
    const { counters } = output;
    // The outcome will count these bytes, so they must not be less durable than it.
    if (counters.stdoutBytes + counters.stderrBytes > 0) await this.#attempt('sync', () => output.log.sync());
    await this.#attempt('close', () => output.log.close());
    const error = output.error === undefined ? null : output.error.message;
    this.#end = { exit: this.#exit, drained, logBytes: output.log.bytes, counters, error };
    this.#tellEnd(this.#end);
  }

  #tellEnd(end: CommandEnd): void {
    this.#context.emit({ run: this.#run, event: 'end', end });
  }

  async #attempt(what: string, action: () => Promise<void>): Promise<void> {
    try {
      await action();
    } catch (error) {
      this.#logger.warn({ err: error, what }, 'a fault of the log of a run');
    }
  }

  /** Once for all that is written in one turn of the event loop. */
  #tellOutput(): void {
    const { stdoutBytes, stderrBytes } = this.#output.counters;
    if (stdoutBytes + stderrBytes === 0) {
      this.#startTimer ??= this.#context.clock.after(TELL_START_AFTER_MS, () => this.#tell());
    } else if (!this.#telling) {
      this.#telling = true;
      setImmediate(() => this.#tell());
    }
  }

  #tell(): void {
    this.#telling = false;
    this.#startTimer?.cancel();
    this.#startTimer = undefined;
    if (this.#end !== null) return;
    const { log, spaceBytes } = this.#output;
    this.#context.emit({ run: this.#run, event: 'output', logBytes: log.bytes, spaceBytes });
  }
}
