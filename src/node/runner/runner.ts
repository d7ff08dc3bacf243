/** Executes the runs that the gateway hands over: each at most once, with its output kept until the gateway has it. */
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
import { followLog } from './run-log.ts';
import { ShimLink, type ShimOptions } from './shim-link.ts';
import { SpoolSpace } from './spool-space.ts';

/** Interval between removals of old runs, ms. */
const PRUNE_INTERVAL_MS = 3_600_000;
/** Longest wait for a full disk on shutdown, ms; the next process records what is missing. */
const RECORD_MS = 1000;

export interface RunnerOptions extends Pick<PlanHost, 'homeFolder' | 'baseEnv' | 'addedEnv'> {
  /** The runner's own; created with mode 0700. On a local file system that supports FIFOs. */
  folder: string;
  /** Absolute path; commands are given to it as `shell -c command`. */
  shell: string;
  /** From SIGTERM to SIGKILL, ms. */
  killGraceMs: number;
  /** The gateway's time as the node estimates it, ms since the epoch. */
  now(): number;
  clock: Clock;
  logger: Logger;
  /** All logs together, bytes; above it, acknowledged logs are removed and new runs refused. */
  maxSpoolBytes: number;
  /** Output kept per run, bytes, even if the gateway would take more. */
  maxOutputBytes: number;
  /** How long a run is recognized, and its log kept, after the gateway has acknowledged its end, ms. */
  retentionMs: number;
  /** By name. */
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

  /** Number of runs that have not ended. */
  get active(): number {
    return this.#active.size;
  }

  /** Number of runs whose command has not exited. */
  get atWork(): number {
    return this.#active.atWork;
  }

  /** 0 while there is none. */
  get shimPid(): number {
    return this.#active.shimPid;
  }

  /** A different id means that an earlier journal was lost. */
  get journalId(): string {
    return this.#journal.id;
  }

  /** Why the runner cannot take runs, as text for the health monitor; empty if it can. */
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
   * Opens the journal and takes up the runs of a former process: those certainly not started are started, live ones are followed to their
   * end, and nothing runs twice.
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
      throw new FleetError('storage_failed', `cannot create the folder ${folder}`, { cause: error });
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
   * Takes a run: it is durable in the journal when this returns, and starts afterwards. A repetition returns the current status and starts
   * nothing. `whole`: someone reads all of the output ({@link readLive}) and slows the command as a pipe does.
   * @throws FleetError `conflict` when the same run was handed over with another spec, `storage_failed` when the disk or the spool is
   * full, `bad_request` for an invalid id, `no_such_agent`, `not_running`
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
    if (this.#stopping) throw new FleetError('not_running', 'the node is shutting down');
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

  /** Call before relying on the status of a live run. @throws FleetError `busy` while the shim does not answer. */
  requireAnswers(): void {
    this.#active.requireAnswers();
  }

  /** Undefined if the run is unknown, or forgotten. */
  status(run: string): RunStatus | undefined {
    this.#active.requireContext();
    const row = this.#journal.find(run);
    return row && this.#statusOf(row);
  }

  /** Runs that are not acknowledged yet, whether they have ended or not. */
  list(): RunStatus[] {
    this.#active.requireContext();
    return this.#journal.unacknowledged().map((row) => this.#statusOf(row));
  }

  /**
   * The log's bytes from `from` on, in pieces of at most 256 KiB; follows a live run, and ends after its end frame.
   * @throws FleetError at once: `not_found` when there is no such run or its log was removed, `bad_request` when `from` is past the
   * end; while iterating: `connection_lost` when the runner closes first, and the signal's reason.
   */
  readLog(run: string, from: number, signal: AbortSignal): AsyncIterable<Buffer> {
    this.#active.requireContext();
    const row = this.#journal.find(run);
    if (row === undefined || !row.hasLog) throw new FleetError('not_found', `no log of ${run} is kept`);
    const log = this.#active.find(run)?.log ?? {
      bytes: row.logBytes,
      complete: true,
      stopped: false,
      changed: async () => {},
    };
    if (!Number.isSafeInteger(from) || from < 0 || from > log.bytes) {
      throw new FleetError('bad_request', `the log of ${run} has ${log.bytes} bytes, so no position ${from}`);
    }
    return followLog(this.#logPath(run), from, log, signal);
  }

  /**
   * The output of a `whole` run beyond the head of its log, as frames, from a position in bytes of output. Ends with an empty `live` frame
   * if it is complete, otherwise without one: the rest is only in the log.
   * @throws FleetError `connection_lost` if the shim is gone.
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

  /** The reader of a `whole` run is present, and may be away for `forMs`; after that the command is no longer slowed. */
  attend(run: string, forMs: number): void {
    this.#active.requireContext().shim.attend(run, forMs);
  }

  /**
   * Ends all processes of a run, or keeps it from starting. Resolves when it has ended, whatever the cause was.
   * @throws FleetError `not_found`; `connection_lost` when the runner closes first
   */
  async cancel(run: string): Promise<RunStatus> {
    this.#active.requireContext();
    const live = this.#active.find(run);
    if (live === undefined) return this.#statusOf(this.#known(run));
    live.kill('canceled');
    return await live.ended;
  }

  /**
   * The stdin of a run whose spec asks for it; can be taken once. Ending it ends the command's stdin; destroying it before that cancels
   * the run, since a part must not pass for the whole. Input that the command no longer reads is dropped.
   * @throws FleetError `not_found`, `bad_request` when the spec has no stdin, `conflict` when it was taken before or the run is over
   */
  stdin(run: string): Writable {
    this.#active.requireContext();
    const live = this.#active.find(run);
    if (live === undefined) throw new FleetError('conflict', `${this.#known(run).run} has ended`);
    if (!live.spec.stdin) throw new FleetError('bad_request', `${run} takes no stdin`);
    if (live.stdin === undefined || this.#stdinTaken.has(live)) {
      throw new FleetError('conflict', `the stdin of ${run} is already taken`);
    }
    this.#stdinTaken.add(live);
    return live.stdin;
  }

  /**
   * The gateway has stored the whole run: its log may be removed when space is needed. The run is recognized for another `retentionMs`.
   * @throws FleetError `not_found`, `conflict` when it has not ended
   */
  acknowledge(run: string): void {
    this.#active.requireContext();
    const row = this.#known(run);
    if (row.phase !== 'ended') throw new FleetError('conflict', `${run} has not ended`);
    this.#space.acknowledge(row, this.#options.now());
    this.#prune();
  }

  /** Cancels all runs and accepts no more. Resolves when all are dead, and recorded unless the disk is full. */
  async stopAll(): Promise<void> {
    const { clock } = this.#active.requireContext();
    this.#stopping = true;
    const runs = this.#active.all;
    for (const run of runs) run.kill('canceled');
    const recorded = Promise.allSettled(runs.map((run) => run.ended));
    await Promise.all(runs.map((run) => run.over));
    const waited = new AbortController();
    await Promise.race([recorded, sleep(clock, RECORD_MS, waited.signal)]);
    waited.abort();
  }

  /**
   * Commands live on for the next process to take up, except those whose stdin is incomplete: they are canceled, because the end of this
   * process cuts their stdin off.
   */
  close(): Promise<void> {
    this.#closing ??= closeAll(
      () => this.#active.close(),
      () => this.#fifos.close(),
      () => this.#journal.close(),
    );
    return this.#closing;
  }

  /** @throws FleetError `not_found` */
  #known(run: string): JournalRow {
    const row = this.#journal.find(run);
    if (row === undefined) throw new FleetError('not_found', `no run ${run}`);
    return row;
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
