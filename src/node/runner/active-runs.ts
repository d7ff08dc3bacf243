/** The runs that have not ended, and the shim that has their commands: takes both up after a restart, and replaces a shim that was killed. */
import { appendFile } from 'node:fs/promises';
import { encodeFrame, FRAME_TYPE } from '../../protocol/frames.ts';
import { sleep } from '../../shared/clock.ts';
import { FleetError } from '../../shared/errors.ts';
import { closeAll } from '../../shared/lifecycle.ts';
import { total } from '../shim/messages.ts';
import type { Journal } from './journal.ts';
import type { JournalRow } from './journal-row.ts';
import { LiveRun, type LiveRunContext } from './live-run.ts';
import type { Inheritance } from './run-command.ts';
import { type RecoveredLog, recoverLog } from './run-log.ts';
import type { ShimLink } from './shim-link.ts';

/** Pause between two attempts to replace a shim that was killed, ms. */
const RELINK_MS = 1000;

interface ActiveRunsOptions extends Omit<LiveRunContext, 'shim'> {
  /** @throws FleetError `storage_failed` */
  openShim(): Promise<ShimLink>;
  /** `logBytes`: length of the whole log. */
  onEnded(run: string, logBytes: number): void;
}

export class ActiveRuns {
  readonly #options: ActiveRunsOptions;
  readonly #live = new Map<string, LiveRun>();
  /** Undefined before the start, after the close, and while there is no shim. */
  #context: LiveRunContext | undefined;
  #relinking: Promise<void> | undefined;
  #closing = false;

  constructor(options: ActiveRunsOptions) {
    this.#options = options;
  }

  get all(): LiveRun[] {
    return [...this.#live.values()];
  }

  get size(): number {
    return this.#live.size;
  }

  /** Number of runs whose command has not exited. */
  get atWork(): number {
    return this.all.filter((live) => live.atWork).length;
  }

  /** Spool space that their output takes, bytes. */
  get spaceBytes(): number {
    return this.all.reduce((sum, live) => sum + live.spaceBytes, 0);
  }

  /** Whether the shim was killed and has not been replaced yet. */
  get shimIsGone(): boolean {
    return this.#relinking !== undefined;
  }

  /** 0 while there is none. */
  get shimPid(): number {
    return this.#context?.shim.pid ?? 0;
  }

  find(run: string): LiveRun | undefined {
    return this.#live.get(run);
  }

  /** @throws FleetError `busy` while the shim does not answer: it is stopped, or stuck in the kernel. */
  requireAnswers(): void {
    if (this.#context?.shim.isMute !== true) return;
    throw new FleetError('busy', `the process that runs the commands (the shim, pid ${this.shimPid}) does not answer`);
  }

  /** What a new run works with. @throws FleetError `not_running`, or `busy` while there is no shim. */
  requireContext(): LiveRunContext {
    if (this.shimIsGone) throw new FleetError('busy', 'the node is restarting its shim');
    if (this.#context === undefined) throw new FleetError('not_running', 'the runner is not open');
    return this.#context;
  }

  /** Begins a run that is in the journal. */
  add(live: LiveRun): void {
    const { run } = live.spec;
    const { logger, onEnded } = this.#options;
    this.#live.set(run, live);
    live.begin();
    live.ended.then(
      (status) => {
        this.#live.delete(run);
        onEnded(run, status.logBytes);
        logger.info({ run, state: status.state }, 'run ended');
      },
      (error: unknown) => logger.debug({ run, err: error }, 'run is left to the next process'),
    );
  }

  /** Connects to the shim and takes up the runs of a former process. @throws FleetError `storage_failed` */
  async open(): Promise<void> {
    const { openShim, logger, ...rest } = this.#options;
    const shim = await openShim();
    const context = { ...rest, logger, shim };
    try {
      for (const live of await reconcile(context)) this.add(live);
    } catch (error) {
      await this.#release();
      await shim.close();
      throw error;
    }
    // Output of a command that ends before its pipes are open again is lost.
    await Promise.race([Promise.all(this.all.map((live) => live.takenUp)), shim.lost]);
    this.#context = context;
    void shim.lost.then(() => {
      if (this.#context !== context) return;
      this.#context = undefined;
      logger.error({ pid: shim.pid }, 'the shim is gone; starting another one');
      const relinking = this.#relink().finally(() => {
        // The new shim may be gone already, and be replaced in turn.
        if (this.#relinking === relinking) this.#relinking = undefined;
      });
      this.#relinking = relinking;
    });
  }

  /** Releases all runs; those whose stdin would be cut off are canceled. Idempotent. */
  async close(): Promise<void> {
    this.#closing = true;
    while (this.#relinking !== undefined) await this.#relinking;
    const context = this.#context;
    this.#context = undefined;
    await closeAll(
      () => this.#release(),
      () => context?.shim.close(),
    );
  }

  /** The commands of a killed shim live on, and another shim takes them up, as after a restart of the node. */
  async #relink(): Promise<void> {
    const { clock, logger } = this.#options;
    await this.#release();
    while (!this.#closing) {
      try {
        return await this.open();
      } catch (error) {
        logger.error({ err: error }, 'cannot start a shim; retrying');
        await sleep(clock, RELINK_MS);
      }
    }
  }

  async #release(): Promise<void> {
    const cut = this.all.filter((live) => live.needsStdin);
    for (const live of cut) live.kill('stdin_lost');
    await Promise.all(cut.map((live) => live.over));
    await Promise.all(this.all.map((live) => live.release()));
    this.#live.clear();
  }
}

/** Brings journal, logs, pipes and shim into agreement after the end of the former process. Resolves with the runs to continue. */
async function reconcile(context: LiveRunContext): Promise<LiveRun[]> {
  const { journal, fifos, shim, logPath } = context;
  const unfinished = journal.unfinished();
  const inUse = unfinished.map(({ row: { place } }) => place?.pipes);
  const names = inUse.flatMap((pipes) => [pipes?.stdout, pipes?.stderr, pipes?.stdin]);
  await fifos.start(new Set(names.filter((name) => typeof name === 'string')));
  for (const row of journal.unacknowledged()) {
    if (row.phase === 'ended') await completeLog(row, logPath(row.run), journal);
  }
  const runs: LiveRun[] = [];
  for (const { row, spec } of unfinished) {
    const gone = !shim.knows(row.run) && mayBeStarted(row, shim.shim);
    const inheritance = gone ? inherit(row, await recoverLog(logPath(row.run))) : undefined;
    runs.push(new LiveRun(spec, context, { row, inheritance }));
  }
  const known = new Set(unfinished.map(({ row }) => row.run));
  for (const run of shim.unclaimed) if (!known.has(run)) shim.forget(run);
  return runs;
}

/** For a run that the present shim does not know: had this shim carried out the order, it would know the run. */
function mayBeStarted({ phase, place }: JournalRow, shim: string): boolean {
  return phase === 'started' || (phase === 'starting' && place?.shim !== shim);
}

/**
 * Adds the end frame that the former process had no time to write. After a power failure output may be missing, too; the outcome still
 * says how much there was.
 */
async function completeLog(row: JournalRow, path: string, journal: Journal): Promise<void> {
  if (row.outcome === null || !row.hasLog) return;
  const log = await recoverLog(path);
  const frame = encodeFrame(FRAME_TYPE.end, Buffer.from(JSON.stringify(row.outcome)));
  if (!log.ended) await appendFile(path, frame);
  const logBytes = log.ended ? log.bytes : log.bytes + frame.length;
  if (logBytes !== row.logBytes) journal.setLogBytes(row.run, logBytes);
}

/** What is known of a run that has not ended. The counters are as of the last note in the journal, and so a lower bound after a kill. */
function inherit(row: JournalRow, log: RecoveredLog): Inheritance {
  const known = row.counters ?? { stdoutBytes: 0, stderrBytes: 0 };
  const written = {
    stdoutBytes: Math.max(log.stdoutBytes + log.gaps.stdoutBytes, known.stdoutBytes),
    stderrBytes: Math.max(log.stderrBytes + log.gaps.stderrBytes, known.stderrBytes),
  };
  const kept = { stdoutBytes: log.stdoutBytes, stderrBytes: log.stderrBytes };
  // Only after an orderly close do the counters reach as far as the log.
  const closed = row.counters !== null && total(known) >= total(kept) + total(log.gaps);
  return {
    past: { logBytes: log.bytes, written, kept, told: log.gaps },
    outputInDoubt: row.phase !== 'accepted' && !closed,
  };
}
