/** Forgets jobs that ended long ago: now and then, in small steps, with pauses in which everybody else goes on. */
import { type Clock, Periodic } from '../../shared/clock.ts';
import type { Logger } from '../../shared/logger.ts';
import type { Sqlite } from '../store/database.ts';
import type { Ages, DurableStore } from '../store/durable-store.ts';

/** Between two looks for jobs that are too old, ms. */
const LOOK_INTERVAL_MS = 10 * 60_000;
/** After the start, when all nodes come back at once, ms. */
const FIRST_LOOK_MS = 60_000;
/** Between two steps, ms. */
const STEP_PAUSE_MS = 25;

interface RetentionOptions {
  store: Pick<DurableStore, 'write'> & { retention: RetentionTable };
  clock: Clock;
  logger: Logger;
  ages: Ages;
  /** How long a job is kept after the end of its last run, ms. */
  retentionMs: number;
}

export class Retention {
  readonly #options: RetentionOptions;
  readonly #work: Periodic;
  /** Since the look began. */
  #deletedJobs = 0;

  constructor(options: RetentionOptions) {
    this.#options = options;
    const { clock, logger } = options;
    this.#work = new Periodic({
      step: async () => ((await this.#step()) ? STEP_PAUSE_MS : LOOK_INTERVAL_MS),
      onFailure: (error) => logger.error({ err: error }, 'old jobs could not be deleted'),
      retryMs: LOOK_INTERVAL_MS,
      clock,
    });
  }

  start(): void {
    this.#work.start(FIRST_LOOK_MS);
  }

  /** Resolves when a step under way has ended. */
  close(): Promise<void> {
    return this.#work.close();
  }

  /** One piece; whether there is more to do at once. */
  async #step(): Promise<boolean> {
    const { store, ages, clock, retentionMs, logger } = this.#options;
    const now = clock.now();
    const { jobs, more } = await store.write(() => store.retention.deleteStep(ages.cutoff(retentionMs), now));
    this.#deletedJobs += jobs;
    if (more) return true;
    if (this.#deletedJobs > 0) logger.info({ jobs: this.#deletedJobs }, 'deleted old jobs');
    this.#deletedJobs = 0;
    return await store.write(() => store.retention.shrinkStep());
  }
}

/** Most that one step deletes: rows, and bytes of logs (a single stored chunk may be a little larger). */
export const STEP_ROWS = 500;
export const STEP_BYTES = 4 * 1024 * 1024;
/** Pages that one step gives back to the file system. */
const STEP_PAGES = 512;
/** A node says itself when a run has ended. A time further ahead than any clock is wrong does not keep the job for ever, ms. */
const MAX_SKEW_MS = 86_400_000;

/** What one step has deleted. */
interface RetentionStep {
  rows: number;
  /** Of logs. */
  bytes: number;
  jobs: number;
  /** Whether there is more to delete. */
  more: boolean;
}

export class RetentionTable {
  readonly #database: Sqlite;
  readonly #statements;
  /** The old jobs that were found last, and are not wholly deleted. */
  #jobs: number[] = [];

  constructor(database: Sqlite) {
    this.#database = database;
    this.#statements = {
      oldJobs: database
        .prepare(
          `SELECT seq FROM jobs WHERE created_at < @before AND NOT EXISTS (
             SELECT 1 FROM runs WHERE job_seq = jobs.seq AND (
               ended_at IS NULL OR unconfirmed = 1 OR ended_at >= @before AND ended_at < @tooFar)
           ) ORDER BY created_at LIMIT ${STEP_ROWS}`,
        )
        .pluck(),
      runs: database.prepare('SELECT seq FROM runs WHERE job_seq = ? LIMIT ?'),
      // A reader who comes in between sees a prefix of the output, and that the run's output is not whole.
      markRun: database.prepare(
        'UPDATE runs SET log_bytes = 0, dropped_bytes = max(1, stdout_bytes + stderr_bytes) WHERE seq = ? AND log_bytes > 0',
      ),
      chunks: database.prepare(
        'SELECT rowid, length(bytes) AS bytes FROM run_log WHERE run_seq = ? ORDER BY offset DESC LIMIT ?',
      ),
      deleteChunk: database.prepare('DELETE FROM run_log WHERE rowid = ?'),
      deleteRun: database.prepare('DELETE FROM runs WHERE seq = ?'),
      deleteJob: database.prepare('DELETE FROM jobs WHERE seq = ?'),
      freePages: database.prepare('PRAGMA freelist_count').pluck(),
    };
  }

  /** Deletes a piece of what ended before `before`, ms; to be called inside a transaction. `now` is the time, ms. */
  deleteStep(before: number, now: number): RetentionStep {
    const step = { rows: 0, bytes: 0, jobs: 0, more: true };
    if (this.#jobs.length === 0) {
      this.#jobs = this.#statements.oldJobs.all({ before, tooFar: now + MAX_SKEW_MS }) as number[];
    }
    for (let [job] = this.#jobs; job !== undefined; [job] = this.#jobs) {
      if (!this.#deleteJob(job, step)) return step;
      this.#jobs.shift();
      step.jobs += 1;
    }
    return { ...step, more: step.rows > 0 };
  }

  /** Whether there may be more free pages to give back to the file system; without it they are used again all the same. */
  shrinkStep(): boolean {
    const before = this.#freePages();
    if (before === 0) return false;
    this.#database.pragma(`incremental_vacuum(${STEP_PAGES})`);
    // Of a file that was made without auto_vacuum no page can be given back.
    return this.#freePages() > 0 && this.#freePages() < before;
  }

  #freePages(): number {
    return Number(this.#statements.freePages.get());
  }

  /** Logs from their end, then their runs, and at last the job itself. Whether nothing of it is left. */
  #deleteJob(job: number, step: RetentionStep): boolean {
    const runs = this.#statements.runs.all(job, STEP_ROWS) as { seq: number }[];
    for (const { seq } of runs) {
      if (isFull(step) || !this.#deleteLog(seq, step) || isFull(step)) return false;
      this.#statements.deleteRun.run(seq);
      step.rows += 1;
    }
    if (runs.length === STEP_ROWS || isFull(step)) return false;
    this.#statements.deleteJob.run(job);
    step.rows += 1;
    return true;
  }

  /** Whether nothing is left of the run's log. */
  #deleteLog(run: number, step: RetentionStep): boolean {
    const limit = STEP_ROWS - step.rows;
    const chunks = this.#statements.chunks.all(run, limit) as { rowid: number; bytes: number }[];
    if (chunks.length === 0) return true;
    this.#statements.markRun.run(run);
    for (const { rowid, bytes } of chunks) {
      if (isFull(step)) return false;
      this.#statements.deleteChunk.run(rowid);
      step.rows += 1;
      step.bytes += bytes;
    }
    return chunks.length < limit;
  }
}

function isFull({ rows, bytes }: RetentionStep): boolean {
  return rows >= STEP_ROWS || bytes >= STEP_BYTES;
}
