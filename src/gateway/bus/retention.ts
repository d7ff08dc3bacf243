/** Deletes jobs that ended long ago, with their runs and logs, one bounded step at a time. */
import type { Clock } from '../../shared/clock.ts';
import type { Part } from '../../shared/lifecycle.ts';
import type { Logger } from '../../shared/logger.ts';
import { prepareAll, type Sqlite } from '../store/database.ts';
import type { Ages, DurableStore } from '../store/durable-store.ts';
import { createHousekeeping, type HousekeepingStep, STEP_BYTES, STEP_ROWS } from '../store/housekeeping.ts';

/** Interval between searches for old jobs, ms. */
const INTERVAL_MS = 10 * 60_000;
/** Delay of the first search, past the rush of reconnecting nodes, ms. */
const FIRST_MS = 60_000;
/** Pages that one step returns to the file system. */
const STEP_PAGES = 512;
/** Nodes report when their runs ended. An end further ahead than this, ms, does not keep its job forever. */
const MAX_SKEW_MS = 86_400_000;

interface RetentionOptions {
  store: Pick<DurableStore, 'write'> & { retention: RetentionTable };
  clock: Clock;
  logger: Logger;
  ages: Ages;
  /** How long a job is kept after its last run has ended, ms. */
  retentionMs: number;
}

export function createJobRetention({ store, clock, logger, ages, retentionMs }: RetentionOptions): Part {
  return createHousekeeping({
    store,
    clock,
    logger,
    tasks: [
      () => store.retention.deleteStep(ages.cutoff(retentionMs), clock.now()),
      () => ({ more: store.retention.shrinkStep() }),
    ],
    firstMs: FIRST_MS,
    intervalMs: INTERVAL_MS,
    failure: 'could not delete old jobs',
    onDeleted: (jobs) => logger.info({ jobs }, 'deleted old jobs'),
  });
}

interface RetentionStep extends HousekeepingStep {
  rows: number;
  /** Of logs. */
  bytes: number;
  /** Jobs. */
  deleted: number;
}

export class RetentionTable {
  readonly #database: Sqlite;
  readonly #statements;
  /** Old jobs found by the last search and not completely deleted yet. */
  #jobs: number[] = [];

  constructor(database: Sqlite) {
    this.#database = database;
    this.#statements = prepareAll(database, {
      oldJobs: `SELECT seq FROM jobs WHERE created_at < @before AND NOT EXISTS (
           SELECT 1 FROM runs WHERE job_seq = jobs.seq AND (
             ended_at IS NULL OR unconfirmed = 1 OR ended_at >= @before AND ended_at < @tooFar)
         ) ORDER BY created_at LIMIT ${STEP_ROWS}`,
      runs: 'SELECT seq FROM runs WHERE job_seq = ? LIMIT ?',
      // Until the run itself is deleted, readers see a prefix of its output, marked as incomplete.
      markRun: `UPDATE runs SET log_bytes = 0, dropped_bytes = max(1, stdout_bytes + stderr_bytes)
         WHERE seq = ? AND log_bytes > 0`,
      chunks: 'SELECT rowid, length(bytes) AS bytes FROM run_log WHERE run_seq = ? ORDER BY offset DESC LIMIT ?',
      deleteChunk: 'DELETE FROM run_log WHERE rowid = ?',
      deleteRun: 'DELETE FROM runs WHERE seq = ?',
      deleteJob: 'DELETE FROM jobs WHERE seq = ?',
      freePages: 'PRAGMA freelist_count',
    });
    this.#statements.oldJobs.pluck();
    this.#statements.freePages.pluck();
  }

  /** Deletes part of what ended before `before`, ms; inside a transaction. `now` is the time, ms. */
  deleteStep(before: number, now: number): RetentionStep {
    const step = { rows: 0, bytes: 0, deleted: 0, more: true };
    if (this.#jobs.length === 0) {
      this.#jobs = this.#statements.oldJobs.all({ before, tooFar: now + MAX_SKEW_MS }) as number[];
    }
    for (let [job] = this.#jobs; job !== undefined; [job] = this.#jobs) {
      if (!this.#deleteJob(job, step)) return step;
      this.#jobs.shift();
      step.deleted += 1;
    }
    return { ...step, more: step.rows > 0 };
  }

  /** Returns free pages to the file system. @returns whether there may be more; pages that stay are reused. */
  shrinkStep(): boolean {
    const before = this.#freePages();
    if (before === 0) return false;
    this.#database.pragma(`incremental_vacuum(${STEP_PAGES})`);
    // A file created without auto_vacuum cannot shrink.
    return this.#freePages() > 0 && this.#freePages() < before;
  }

  #freePages(): number {
    return Number(this.#statements.freePages.get());
  }

  /** Deletes logs from their end, then their runs, and the job last. @returns whether nothing of it is left. */
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

  /** @returns whether nothing is left of the run's log. */
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
