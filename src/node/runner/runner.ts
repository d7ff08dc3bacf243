/** Runs the commands that the gateway hands over: each at most once, its output kept until it was fetched, its end told truly. */
import { chmod, mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import type { Writable } from 'node:stream';
import { encodeFrame, FRAME_TYPE } from '../../protocol/frames.ts';
import { type RunSpec, type RunStatus, runIdSchema } from '../../protocol/run-spec.ts';
import { type Clock, sleep } from '../../shared/clock.ts';
import { FleetError, toFleetError } from '../../shared/errors.ts';
import { closeAll } from '../../shared/lifecycle.ts';
import type { Logger } from '../../shared/logger.ts';
import { openProcessTable } from '../process/process-table.ts';
import { findUser, runTool } from '../process/run-tool.ts';
import { ActiveRuns } from './active-runs.ts';
import { AgentPlanner, type AgentsConfig } from './agents.ts';
import { FifoPool } from './fifo-pool.ts';
import { Journal } from './journal.ts';
import { type JournalRow, specDigest } from './journal-row.ts';
import { LiveRun } from './live-run.ts';
import { createShellPlanner, type PlanHost, type Planners, plannerOf, planRun } from './plan.ts';
import { followLog, type LogProgress } from './run-log.ts';
import { ShimLink } from './shim-link.ts';
import { SpoolSpace } from './spool-space.ts';
import type { ShimOptions } from './start-shim.ts';

/** Pause between two looks for runs to forget, ms. */
const PRUNE_INTERVAL_MS = 3_600_000;
/** What the disk does not take within this time does not keep the node from going down, ms. The next process records it. */
const RECORD_MS = 1000;

export interface RunnerOptions {
  /** Of the runner alone; made with mode 0700. On a local file system that can hold FIFOs. */
  folder: string;
  /** Absolute path; commands are given to it as `shell -c command`. */
  shell: string;
  /** From SIGTERM to SIGKILL, ms. */
  killGraceMs: number;
  /** The gateway's time as the node estimates it, ms since the epoch. */
  now(): number;
  clock: Clock;
  logger: Logger;
  /** What the environment of commands of the node's own user starts from. */
  baseEnv: NodeJS.ProcessEnv;
  /** What the node's config adds for every user; in `baseEnv`, too. */
  addedEnv?: Readonly<Record<string, string>>;
  /** Where commands run that name no folder. */
  homeFolder: string;
  /** Of all logs together, bytes; past it, acknowledged logs go and new runs are refused. */
  maxSpoolBytes: number;
  /** Output of one run that is kept, bytes, even if the gateway would take more. */
  maxOutputBytes: number;
  /** How long a run is recognised, and its log kept, after the gateway has acknowledged its end, ms. */
  retentionMs: number;
  /** Programs that take prompts, by name; none without it. */
  agents?: AgentsConfig | undefined;
  /** The process that starts the commands and outlives this one. */
  shim: Pick<ShimOptions, 'entry' | 'socket' | 'logFile'>;
}

export class Runner {
  readonly #options: RunnerOptions;
  readonly #journal: Journal;
  readonly #fifos: FifoPool;
  readonly #space: SpoolSpace;
  readonly #planners: Planners;
  readonly #active: ActiveRuns;
  readonly #stdinTaken = new WeakSet<LiveRun>();
  #stopping = false;
  #closing: Promise<void> | undefined;
  #prunedAt = 0;

  constructor(options: RunnerOptions) {
    const { folder, logger, maxSpoolBytes, clock, baseEnv } = options;
    this.#options = options;
    this.#planners = {
      shell: createShellPlanner(options.shell),
      agent: new AgentPlanner(options.agents ?? {}, baseEnv.PATH ?? ''),
    };
    const planHost: PlanHost = {
      ...options,
      planners: this.#planners,
      currentUid: process.geteuid?.() ?? -1,
      findUser: (name) => findUser(name, runTool),
    };
    this.#journal = new Journal(join(folder, 'runs.db'), () => this.#space.giveUpReserve());
    this.#fifos = new FifoPool({ folder: join(folder, 'pipes'), runTool, logger });
    this.#space = new SpoolSpace({
      folder,
      journal: this.#journal,
      logPath: (run) => this.#logPath(run),
      maxBytes: maxSpoolBytes,
      liveBytes: () => this.#active.spaceBytes,
    });
    this.#active = new ActiveRuns({
      ...options,
      journal: this.#journal,
      fifos: this.#fifos,
      processes: openProcessTable(),
      planners: this.#planners,
      plan: (spec) => planRun(spec, planHost),
      logPath: (run) => this.#logPath(run),
      openShim: () => ShimLink.open({ ...options.shim, folder, clock, env: { PATH: baseEnv.PATH } }),
      onEnded: (_run, logBytes) => this.#space.add(logBytes),
    });
  }

  /** Runs that have not ended. */
  get active(): number {
    return this.#active.size;
  }

  /** Of these, those whose command has not exited. */
  get atWork(): number {
    return this.#active.atWork;
  }

  /** Of the process that runs the commands; 0 while there is none. */
  get shimPid(): number {
    return this.#active.shimPid;
  }

  /** Id of the journal; another one means that an earlier journal, and what it knew of runs, was lost. */
  get journalId(): string {
    return this.#journal.id;
  }

  /** What keeps the runner from taking runs, in words for the health monitor; empty when all is well. */
  faults(): string[] {
    if (this.#active.shimIsGone) return ['the process that runs the commands (the shim) is gone'];
    try {
      this.#active.requireAnswers();
      this.#space.requireRoom();
      return [];
    } catch (error) {
      return [toFleetError(error).message];
    }
  }

  /**
   * Opens the journal and takes up the runs of a former process: what was surely not spawned is started, what still lives is followed
   * to its end, of the rest nothing is run again.
   * @throws FleetError `already_running`, `storage_failed`
   */
  async start(): Promise<void> {
    const { folder } = this.#options;
    try {
      for (const path of [folder, join(folder, 'pipes'), join(folder, 'logs')]) {
        await mkdir(path, { recursive: true, mode: 0o700 });
        await chmod(path, 0o700);
      }
    } catch (error) {
      throw new FleetError('storage_failed', `cannot make the folder ${folder}`, { cause: error });
    }
    this.#journal.open();
    try {
      this.#space.start();
      await this.#active.open();
      this.#prune();
    } catch (error) {
      await this.#fifos.close();
      this.#journal.close();
      throw error;
    }
  }

  /**
   * Takes a run: it is in the journal, on the disk, when this returns, and starts afterwards. A repetition answers the present status
   * and starts nothing. `whole`: somebody takes all of the output ({@link readLive}), and slows the command as a pipe does.
   * @throws FleetError `conflict` when the same run was handed over with another spec, `storage_failed` when the disk or the spool is
   * full, `bad_request` when the id is none, `no_such_agent`, `not_running`
   */
  accept(spec: RunSpec, whole = false): RunStatus {
    const context = this.#active.requireContext();
    if (!runIdSchema.safeParse(spec.run).success) throw new FleetError('bad_request', `not a run id: ${spec.run}`);
    const digest = specDigest(spec);
    const known = this.#journal.find(spec.run);
    if (known !== undefined) {
      if (known.specDigest !== digest)
        throw new FleetError('conflict', `${spec.run} was handed over before with another spec`);
      return this.#statusOf(known);
    }
    if (this.#stopping) throw new FleetError('not_running', 'the node is going down');
    this.#active.requireAnswers();
    const planner = plannerOf(this.#planners, spec);
    const complete = planner.complete(spec);
    this.#space.requireRoom();
    // What need not wait for its turn is recorded as `starting` at once, which saves a write.
    const pipes = planner.takeTurn === undefined ? this.#fifos.takeNow(complete.stdin) : undefined;
    const place = pipes && { pipes, shim: context.shim.shim };
    try {
      this.#journal.accept(complete, digest, place);
    } catch (error) {
      if (pipes !== undefined) this.#fifos.release(pipes, true);
      throw error;
    }
    const live = new LiveRun(complete, context, { place, whole });
    this.#active.add(live);
    return live.status;
  }

  /** Whether what is said of runs that go on can be relied on. @throws FleetError `busy` while the shim does not answer. */
  requireAnswers(): void {
    this.#active.requireAnswers();
  }

  /** Undefined if the run is not known here (any more). */
  status(run: string): RunStatus | undefined {
    this.#active.requireContext();
    const row = this.#journal.find(run);
    return row && this.#statusOf(row);
  }

  /** Runs that are not acknowledged yet, ended or not. */
  list(): RunStatus[] {
    this.#active.requireContext();
    return this.#journal.unacknowledged().map((row) => this.#statusOf(row));
  }

  /**
   * The log's bytes from `from` on, in pieces of at most 256 KiB; follows a run that has not ended, and ends after its end frame.
   * @throws FleetError at once: `not_found` when there is no such run or its log was removed, `bad_request` when `from` is past the
   * end; while iterating: `connection_lost` when the runner closes first, and the signal's reason.
   */
  readLog(run: string, from: number, signal: AbortSignal): AsyncIterable<Buffer> {
    this.#active.requireContext();
    const row = this.#journal.find(run);
    if (row === undefined || !row.hasLog) throw new FleetError('not_found', `no log of ${run} is kept`);
    const log = this.#active.find(run)?.log ?? finishedLog(row);
    if (!Number.isSafeInteger(from) || from < 0 || from > log.bytes) {
      throw new FleetError(
        'bad_request',
        `${from} is not a position in the log of ${run}, which has ${log.bytes} bytes`,
      );
    }
    return followLog(this.#logPath(run), from, log, signal);
  }

  /**
   * Frames of the output that goes past the head of the log, from a position on (in bytes of output): of a run whose output somebody takes
   * whole, as it comes. Ends with an empty `live` frame when that was all; without it, when the rest can be had from the log only.
   * @throws FleetError `connection_lost` when the shim is gone.
   */
  async *readLive(run: string, from: number, signal: AbortSignal): AsyncGenerator<Buffer> {
    const { shim } = this.#active.requireContext();
    for (let at = from; !signal.aborted; ) {
      const piece = await shim.live(run, at);
      if (piece === null) return;
      if ('complete' in piece) return yield encodeFrame(FRAME_TYPE.live, Buffer.alloc(0));
      yield Buffer.from(piece.frames, 'base64');
      at = piece.next;
    }
  }

  /** Whoever takes the output of the run whole is there, and may be away for so long, ms; after that the command is not slowed. */
  attend(run: string, forMs: number): void {
    this.#active.requireContext().shim.attend(run, forMs);
  }

  /**
   * Ends a run's whole process group, or keeps the run from starting. Resolves when it has ended, for whatever cause came first.
   * @throws FleetError `not_found`; `connection_lost` when the runner closes first
   */
  async cancel(run: string): Promise<RunStatus> {
    this.#active.requireContext();
    const live = this.#active.find(run);
    if (live !== undefined) {
      live.kill('canceled');
      return await live.ended;
    }
    const status = this.status(run);
    if (status === undefined) throw new FleetError('not_found', `no run ${run}`);
    return status;
  }

  /**
   * The one way into the stdin of a run whose spec wants it. Ending it ends the command's stdin; destroying it before that cancels
   * the run, since a part must not pass for the whole. What the command does not read any more is taken and dropped.
   * @throws FleetError `not_found`, `bad_request` when the spec has no stdin, `conflict` when it was taken before or the run is over
   */
  stdin(run: string): Writable {
    this.#active.requireContext();
    const live = this.#active.find(run);
    if (live === undefined) {
      if (this.#journal.find(run) === undefined) throw new FleetError('not_found', `no run ${run}`);
      throw new FleetError('conflict', `${run} has ended`);
    }
    if (!live.spec.stdin) throw new FleetError('bad_request', `${run} takes no stdin`);
    if (live.stdin === undefined || this.#stdinTaken.has(live)) {
      throw new FleetError('conflict', `the stdin of ${run} was taken before`);
    }
    this.#stdinTaken.add(live);
    return live.stdin;
  }

  /**
   * The gateway has stored everything of this run: its log may go when room is needed. The run itself is recognised for `retentionMs`.
   * @throws FleetError `not_found`, `conflict` when it has not ended
   */
  acknowledge(run: string): void {
    this.#active.requireContext();
    const row = this.#journal.find(run);
    if (row === undefined) throw new FleetError('not_found', `no run ${run}`);
    if (row.phase !== 'ended') throw new FleetError('conflict', `${run} has not ended`);
    this.#space.acknowledge(row, this.#options.now());
    this.#prune();
  }

  /** Cancels all runs and accepts no more. Resolves when all are dead, and recorded unless the disk refuses. */
  async stopAll(): Promise<void> {
    const { clock } = this.#active.requireContext();
    this.#stopping = true;
    const live = this.#active.all;
    for (const run of live) run.kill('canceled');
    const recorded = Promise.allSettled(live.map((run) => run.ended));
    await Promise.all(live.map((run) => run.over));
    const waited = new AbortController();
    await Promise.race([recorded, sleep(clock, RECORD_MS, waited.signal)]);
    waited.abort();
  }

  /**
   * Lets go: commands live on for the next process to take up. Only those whose stdin is not complete are canceled, because the end
   * of this process would end their stdin in the middle.
   */
  close(): Promise<void> {
    this.#closing ??= closeAll(
      () => this.#active.close(),
      () => this.#fifos.close(),
      () => this.#journal.close(),
    );
    return this.#closing;
  }

  #statusOf(row: JournalRow): RunStatus {
    const live = this.#active.find(row.run);
    if (live !== undefined) return live.status;
    return { run: row.run, state: row.outcome?.state ?? 'delivered', outcome: row.outcome, logBytes: row.logBytes };
  }

  #prune(): void {
    const now = this.#options.now();
    if (now - this.#prunedAt < PRUNE_INTERVAL_MS) return;
    this.#prunedAt = now;
    const before = now - this.#options.retentionMs;
    for (const row of this.#journal.withLogAcknowledgedBefore(before)) this.#space.remove(row.run, row.logBytes);
    this.#journal.prune(before);
  }

  #logPath(run: string): string {
    return join(this.#options.folder, 'logs', `${run}.log`);
  }
}

function finishedLog(row: JournalRow): LogProgress {
  return { bytes: row.logBytes, complete: true, stopped: false, changed: () => Promise.resolve() };
}
