/** Runs the commands that the gateway hands over: each at most once, its output kept until it was fetched, its end told truly. */
import { chmod, mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import type { Writable } from 'node:stream';
import { type RunSpec, type RunStatus, runIdSchema } from '../../protocol/run-spec.ts';
import { type Clock, sleep } from '../../shared/clock.ts';
import { FleetError, toFleetError } from '../../shared/errors.ts';
import type { Logger } from '../../shared/logger.ts';
import type { AgentsConfig } from '../agent-config.ts';
import { Agents } from './agents.ts';
import { planCommand } from './command-plan.ts';
import { FifoPool } from './fifo-pool.ts';
import { Journal } from './journal.ts';
import type { JournalRow } from './journal-row.ts';
import { LiveRun, type LiveRunContext } from './live-run.ts';
import { followLog, type LogProgress } from './log-reader.ts';
import { recoverLog } from './log-recovery.ts';
import { createPlanHost } from './plan-host.ts';
import { openProcessTable } from './process-table.ts';
import { completeLog, inherit } from './reconcile.ts';
import { runTool, runToolSync } from './run-tool.ts';
import { ShimLink } from './shim-link.ts';
import { specDigest } from './spec-digest.ts';
import { SpoolSpace } from './spool-space.ts';
import type { ShimOptions } from './start-shim.ts';

/** Pause between two looks for runs to forget, ms. */
const PRUNE_INTERVAL_MS = 3_600_000;
/** What the disk does not take within this time does not keep the node from going down, ms. The next process records it. */
const RECORD_MS = 1000;
/** Pause between two attempts to start a shim in place of one that was killed, ms. */
const RELINK_MS = 1000;

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
  /** What every command's environment starts from. */
  baseEnv: NodeJS.ProcessEnv;
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
  readonly #agents: Agents;
  readonly #live = new Map<string, LiveRun>();
  readonly #stdinTaken = new WeakSet<LiveRun>();
  /** Undefined before the start, after the close, and while there is no shim. */
  #context: LiveRunContext | undefined;
  #relinking: Promise<void> | undefined;
  #stopping = false;
  #closing: Promise<void> | undefined;
  #prunedAt = 0;

  constructor(options: RunnerOptions) {
    const { folder, logger, maxSpoolBytes } = options;
    this.#options = options;
    this.#agents = new Agents(options.agents ?? {});
    this.#journal = new Journal(join(folder, 'runs.db'));
    this.#fifos = new FifoPool({ folder: join(folder, 'pipes'), runTool, logger });
    this.#space = new SpoolSpace({
      journal: this.#journal,
      logPath: (run) => this.#logPath(run),
      maxBytes: maxSpoolBytes,
      liveBytes: () => [...this.#live.values()].reduce((sum, live) => sum + live.spaceBytes, 0),
    });
  }

  /** Runs that have not ended. */
  get active(): number {
    return this.#live.size;
  }

  /** Of the process that runs the commands; 0 while there is none. */
  get shimPid(): number {
    return this.#context?.shim.pid ?? 0;
  }

  /** Id of the journal; another one means that an earlier journal, and what it knew of runs, was lost. */
  get journalId(): string {
    return this.#journal.id;
  }

  /** What keeps the runner from taking runs, in words for the health monitor; empty when all is well. */
  faults(): string[] {
    if (this.#relinking !== undefined) return ['the process that runs the commands (the shim) is gone'];
    try {
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
      await this.#link();
    } catch (error) {
      this.#fifos.close();
      this.#journal.close();
      throw error;
    }
  }

  /**
   * Takes a run: it is in the journal, on the disk, when this returns, and starts afterwards. A repetition answers the present status
   * and starts nothing.
   * @throws FleetError `conflict` when the same run was handed over with another spec, `storage_failed` when the disk or the spool is
   * full, `bad_request` when the id is none, `no_such_agent`, `not_running`
   */
  accept(spec: RunSpec): RunStatus {
    const context = this.#requireOpen();
    if (!runIdSchema.safeParse(spec.run).success) throw new FleetError('bad_request', `not a run id: ${spec.run}`);
    const digest = specDigest(spec);
    const known = this.#journal.find(spec.run);
    if (known !== undefined) {
      if (known.specDigest !== digest)
        throw new FleetError('conflict', `${spec.run} was handed over before with another spec`);
      return this.#statusOf(known);
    }
    if (this.#stopping) throw new FleetError('not_running', 'the node is going down');
    const complete = this.#agents.complete(spec);
    this.#space.requireRoom();
    // An agent may have to wait for its turn; whatever starts at once is noted with all that its start needs.
    const pipes = complete.kind === 'shell' ? this.#fifos.takeNow(complete.stdin) : undefined;
    const place = pipes && { pipes, shim: context.shim.shim };
    try {
      this.#journal.accept(complete, digest, place);
    } catch (error) {
      if (pipes !== undefined) this.#fifos.release(pipes, true);
      throw error;
    }
    const live = new LiveRun(complete, context, { place });
    this.#live.set(spec.run, live);
    this.#begin(live);
    return live.status;
  }

  /** Undefined if the run is not known here (any more). */
  status(run: string): RunStatus | undefined {
    this.#requireOpen();
    const row = this.#journal.find(run);
    return row && this.#statusOf(row);
  }

  /** Runs that are not acknowledged yet, ended or not. */
  list(): RunStatus[] {
    this.#requireOpen();
    return this.#journal.unacknowledged().map((row) => this.#statusOf(row));
  }

  /**
   * The log's bytes from `from` on, in pieces of at most 256 KiB; follows a run that has not ended, and ends after its end frame.
   * @throws FleetError at once: `not_found` when there is no such run or its log was removed, `bad_request` when `from` is past the
   * end; while iterating: `connection_lost` when the runner closes first, and the signal's reason.
   */
  readLog(run: string, from: number, signal: AbortSignal): AsyncIterable<Buffer> {
    this.#requireOpen();
    const row = this.#journal.find(run);
    if (row === undefined || !row.hasLog) throw new FleetError('not_found', `no log of ${run} is kept`);
    const log = this.#live.get(run)?.log ?? finishedLog(row);
    if (!Number.isSafeInteger(from) || from < 0 || from > log.bytes) {
      throw new FleetError(
        'bad_request',
        `${from} is not a position in the log of ${run}, which has ${log.bytes} bytes`,
      );
    }
    return followLog(this.#logPath(run), from, log, signal);
  }

  /**
   * Ends a run's whole process group, or keeps the run from starting. Resolves when it has ended, for whatever cause came first.
   * @throws FleetError `not_found`; `connection_lost` when the runner closes first
   */
  async cancel(run: string): Promise<RunStatus> {
    this.#requireOpen();
    const live = this.#live.get(run);
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
    this.#requireOpen();
    const live = this.#live.get(run);
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
    this.#requireOpen();
    const row = this.#journal.find(run);
    if (row === undefined) throw new FleetError('not_found', `no run ${run}`);
    if (row.phase !== 'ended') throw new FleetError('conflict', `${run} has not ended`);
    this.#journal.acknowledge(run, this.#options.now());
    this.#space.evict();
    this.#prune();
  }

  /** Cancels all runs and accepts no more. Resolves when all are dead, and recorded unless the disk refuses. */
  async stopAll(): Promise<void> {
    const { clock } = this.#requireOpen();
    this.#stopping = true;
    const live = [...this.#live.values()];
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
    this.#closing ??= this.#close();
    return this.#closing;
  }

  async #close(): Promise<void> {
    await this.#relinking;
    const context = this.#context;
    if (context === undefined) return;
    this.#context = undefined;
    await this.#letGo();
    await context.shim.close();
    this.#fifos.close();
    this.#journal.close();
  }

  async #letGo(): Promise<void> {
    const live = [...this.#live.values()];
    const cut = live.filter((run) => run.needsStdin);
    for (const run of cut) run.kill('stdin_lost');
    await Promise.all(cut.map((run) => run.over));
    await Promise.all(live.map((run) => run.letGo()));
    this.#live.clear();
  }

  /** Connects to the shim, and takes up what is there. */
  async #link(): Promise<void> {
    const { folder, shim: options, clock, baseEnv } = this.#options;
    const shim = await ShimLink.open({ ...options, folder, clock, env: { PATH: baseEnv.PATH } });
    const context = this.#makeContext(shim);
    try {
      await this.#reconcile(context);
    } catch (error) {
      this.#live.clear();
      await shim.close();
      throw error;
    }
    for (const live of this.#live.values()) this.#begin(live);
    // What a command writes is lost if it ends before anybody has opened its pipes again.
    await Promise.race([Promise.all([...this.#live.values()].map((live) => live.takenUp)), shim.lost]);
    this.#context = context;
    void shim.lost.then(() => {
      if (this.#context !== context) return;
      this.#context = undefined;
      this.#options.logger.error({ pid: shim.pid }, 'the shim is gone; starting another one');
      this.#relinking = this.#relink().finally(() => {
        this.#relinking = undefined;
      });
    });
  }

  /** The shim was killed: its commands live on, and another shim takes them up, as after a restart of the node. */
  async #relink(): Promise<void> {
    const { clock, logger } = this.#options;
    await this.#letGo();
    while (this.#closing === undefined) {
      try {
        return await this.#link();
      } catch (error) {
        logger.error({ err: error }, 'there is no shim; trying again');
        await sleep(clock, RELINK_MS);
      }
    }
    this.#fifos.close();
    this.#journal.close();
  }

  /** Makes journal, logs and pipes agree with each other, and with the shim, after whatever ended the former process. */
  async #reconcile(context: LiveRunContext): Promise<void> {
    const { shim } = context;
    const unfinished = this.#journal.unfinished();
    const inUse = unfinished.map(({ row: { place } }) => place?.pipes);
    const names = inUse.flatMap((pipes) => [pipes?.stdout, pipes?.stderr, pipes?.stdin]);
    await this.#fifos.start(new Set(names.filter((name) => typeof name === 'string')));
    for (const row of this.#journal.unacknowledged()) {
      if (row.phase === 'ended') await completeLog(row, this.#logPath(row.run), this.#journal);
    }
    for (const { row, spec } of unfinished) {
      const gone = !shim.knows(row.run) && mayBeStarted(row, shim.shim);
      const inheritance = gone ? inherit(row, await recoverLog(this.#logPath(row.run))) : undefined;
      this.#live.set(row.run, new LiveRun(spec, context, { row, inheritance }));
    }
    for (const run of shim.unclaimed) if (!this.#live.has(run)) shim.forget(run);
    this.#space.start();
    this.#prune();
  }

  #begin(live: LiveRun): void {
    const { run } = live.spec;
    live.begin();
    live.ended.then(
      (status) => {
        this.#space.add(status.logBytes);
        this.#live.delete(run);
        this.#options.logger.info({ run, state: status.state }, 'run ended');
      },
      (error: unknown) => this.#options.logger.debug({ run, err: error }, 'run is left to the next process'),
    );
  }

  #statusOf(row: JournalRow): RunStatus {
    const live = this.#live.get(row.run);
    if (live !== undefined) return live.status;
    return { run: row.run, state: row.outcome?.state ?? 'delivered', outcome: row.outcome, logBytes: row.logBytes };
  }

  #makeContext(shim: ShimLink): LiveRunContext {
    const { clock, now, killGraceMs, maxOutputBytes, logger } = this.#options;
    const host = createPlanHost(this.#options, this.#agents);
    return {
      journal: this.#journal,
      fifos: this.#fifos,
      processes: openProcessTable(runToolSync),
      shim,
      clock,
      now,
      killGraceMs,
      maxOutputBytes,
      logger,
      agents: this.#agents,
      plan: (spec) => planCommand(spec, host),
      logPath: (run) => this.#logPath(run),
    };
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

  #requireOpen(): LiveRunContext {
    if (this.#relinking !== undefined) throw new FleetError('busy', 'the node is starting its shim anew');
    if (this.#context === undefined) throw new FleetError('not_running', 'the runner is not open');
    return this.#context;
  }
}

/** Of a run that the present shim does not know. */
function mayBeStarted({ phase, place }: JournalRow, shim: string): boolean {
  // Had an order to start it been carried out by this shim, this shim would know it.
  return phase === 'started' || (phase === 'starting' && place?.shim !== shim);
}

function finishedLog(row: JournalRow): LogProgress {
  return { bytes: row.logBytes, complete: true, stopped: false, changed: () => Promise.resolve() };
}
