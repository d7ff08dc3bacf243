/** The runs that have not ended, and the shim that has their commands; puts another shim in its place should it be killed. */
import { sleep } from '../../shared/clock.ts';
import { FleetError } from '../../shared/errors.ts';
import { closeAll } from '../../shared/lifecycle.ts';
import type { LiveRun, LiveRunContext } from './live-run.ts';
import { reconcile } from './reconcile.ts';
import type { ShimLink } from './shim-link.ts';

/** Pause between two attempts to start a shim in place of one that was killed, ms. */
const RELINK_MS = 1000;

interface ActiveRunsOptions extends Omit<LiveRunContext, 'shim'> {
  /** @throws FleetError `storage_failed` */
  openShim(): Promise<ShimLink>;
  /** A run has ended, and its log has this many bytes. */
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

  /** Those whose command has not exited. */
  get atWork(): number {
    return this.all.filter((live) => live.atWork).length;
  }

  /** What the output of all of them takes of the spool's room, bytes. */
  get spaceBytes(): number {
    return this.all.reduce((sum, live) => sum + live.spaceBytes, 0);
  }

  /** Whether the shim was killed and there is no other one yet. */
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

  /** @throws FleetError `busy` while there is a shim that does not answer: it is stopped, or stuck in the kernel. */
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

  /** Adds a run that the journal has accepted, and begins it. */
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

  /**
   * Connects to the shim, and takes up the runs of a former process: what was surely not spawned is started, what still lives is
   * followed to its end, of the rest nothing is run again. @throws FleetError `storage_failed`
   */
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
    // What a command writes is lost if it ends before anybody has opened its pipes again.
    await Promise.race([Promise.all(this.all.map((live) => live.takenUp)), shim.lost]);
    this.#context = context;
    void shim.lost.then(() => {
      if (this.#context !== context) return;
      this.#context = undefined;
      logger.error({ pid: shim.pid }, 'the shim is gone; starting another one');
      const relinking = this.#relink().finally(() => {
        // The next shim may be gone already, too, and its successor be looked for.
        if (this.#relinking === relinking) this.#relinking = undefined;
      });
      this.#relinking = relinking;
    });
  }

  /** Lets go of all; commands whose stdin would end in the middle are canceled before. Idempotent. */
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

  /** The shim was killed: its commands live on, and another shim takes them up, as after a restart of the node. */
  async #relink(): Promise<void> {
    const { clock, logger } = this.#options;
    await this.#release();
    while (!this.#closing) {
      try {
        return await this.open();
      } catch (error) {
        logger.error({ err: error }, 'there is no shim; trying again');
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
