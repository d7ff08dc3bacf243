/** Deletes jobs that ended long ago, a bounded piece at a time, so that nobody else's transaction waits for it. */
import type { Sqlite } from '../store/database.ts';

/** Most that one step deletes: rows, and bytes of logs (a single stored chunk may be a little larger). */
export const STEP_ROWS = 500;
export const STEP_BYTES = 4 * 1024 * 1024;
/** Pages that one step gives back to the file system. */
const STEP_PAGES = 512;
/** A node says itself when a run has ended. A time further ahead than any clock is wrong does not keep the job for ever, ms. */
const MAX_SKEW_MS = 86_400_000;

/** What one step has deleted. */
export interface RetentionStep {
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
