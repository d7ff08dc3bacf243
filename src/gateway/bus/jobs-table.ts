/** Jobs: what was requested, by whom, with which options. */
import type { SubmitJobRequest } from '../../protocol/job-messages.ts';
import type { Sqlite } from '../store/database.ts';
import { prefixBounds } from '../store/look-up.ts';
import { statementsOf } from '../store/statements.ts';

/** The part of a request that is kept for the hand-over of its runs. */
export type JobOptions = Pick<
  SubmitJobRequest,
  'cwd' | 'env' | 'user' | 'timeoutMs' | 'stdin' | 'lane' | 'priority' | 'flow' | 'agent'
> & {
  /** The limit when the job was accepted; a later one does not change the specs of its runs. */
  maxOutputBytes?: number;
  /** The submitter takes all of the output, including what is not kept. */
  whole?: boolean;
};

export interface JobRecord {
  seq: number;
  id: string;
  kind: SubmitJobRequest['kind'];
  /** The prompt if the kind is `agent`. */
  command: string;
  options: JobOptions;
  /** The node or selector as typed. */
  target: string;
  createdAt: number;
  createdBy: string;
  idempotencyKey: string | null;
}

interface JobRow extends Omit<JobRecord, 'options'> {
  options: string;
}

export interface JobFilter {
  nodeId?: string | undefined;
  state?: string | undefined;
  /** Created at or after, ms. */
  since: number;
  /** Older than the job with this number. */
  before?: number | undefined;
  limit: number;
}

export type JobsTable = ReturnType<typeof jobsTable>;

export function jobsTable(database: Sqlite) {
  const { all, get } = statementsOf(database);
  const select = `SELECT seq, id, kind, command, options, target, created_at AS createdAt, created_by AS createdBy,
    idempotency_key AS idempotencyKey FROM jobs`;
  const insert = database.prepare(
    `INSERT INTO jobs (id, kind, command, options, target, created_at, created_by, idempotency_key)
     VALUES (?, ?, ?, ?, ?, ?, ?, ?)`,
  );
  const byId = get<JobRow, [id: string]>(`${select} WHERE id = ?`);
  const byPrefix = all<JobRow, [from: string, below: string]>(`${select} WHERE id >= ? AND id < ? LIMIT 2`);
  const byKey = get<JobRow, [createdBy: string, key: string]>(`${select} WHERE created_by = ? AND idempotency_key = ?`);
  const list = all<JobRow, [Required<Record<keyof JobFilter, unknown>>]>(
    `${select} WHERE created_at >= @since AND seq < @before
       AND (@nodeId IS NULL AND @state IS NULL OR EXISTS (
         SELECT 1 FROM runs WHERE runs.job_seq = jobs.seq
           AND (@nodeId IS NULL OR node_id = @nodeId) AND (@state IS NULL OR state = @state)))
     ORDER BY seq DESC LIMIT @limit`,
  );
  return {
    /** Returns what is stored now. */
    insert(job: Omit<JobRecord, 'seq'>): JobRecord {
      const { id, kind, command, target, createdAt, createdBy, idempotencyKey } = job;
      const options = JSON.stringify(job.options);
      const inserted = insert.run(id, kind, command, options, target, createdAt, createdBy, idempotencyKey);
      return { ...job, seq: Number(inserted.lastInsertRowid) };
    },
    byId: (id: string) => toOptional(byId(id)),
    /** At most two jobs whose ids start with `prefix`. */
    byPrefix: (prefix: string) => byPrefix(...prefixBounds(prefix)).map(toRecord),
    byIdempotencyKey: (createdBy: string, key: string) => toOptional(byKey(createdBy, key)),
    /** Newest first. */
    list({ since, limit, before = Number.MAX_SAFE_INTEGER, nodeId, state }: JobFilter): JobRecord[] {
      return list({ since, limit, before, nodeId: nodeId ?? null, state: state ?? null }).map(toRecord);
    },
  };
}

function toOptional(row: JobRow | undefined): JobRecord | undefined {
  return row && toRecord(row);
}

function toRecord(row: JobRow): JobRecord {
  return { ...row, options: JSON.parse(row.options) as JobOptions };
}

/**
 * Migration that leaves one randomly written index, jobs_by_id, of what used to be three; a step of a run that does not end it changes no
 * index (docs/adr/0028).
 */
export const JOBS_IN_ORDER = `
CREATE TABLE new_jobs (
  seq             INTEGER PRIMARY KEY,
  id              TEXT NOT NULL,
  kind            TEXT NOT NULL,
  command         TEXT NOT NULL,
  options         TEXT NOT NULL,
  target          TEXT NOT NULL,
  created_at      INTEGER NOT NULL,
  created_by      TEXT NOT NULL,
  idempotency_key TEXT
) STRICT;
INSERT INTO new_jobs SELECT seq, id, kind, command, options, target, created_at, created_by, idempotency_key FROM jobs;

CREATE TABLE new_runs (
  seq            INTEGER PRIMARY KEY,
  job_seq        INTEGER NOT NULL REFERENCES jobs (seq) ON DELETE CASCADE,
  job_id         TEXT NOT NULL,
  idx            INTEGER NOT NULL,
  node_id        TEXT NOT NULL,
  node_name      TEXT NOT NULL,
  state          TEXT NOT NULL,
  exit_code      INTEGER,
  signal         TEXT,
  reason         TEXT,
  queued_at      INTEGER NOT NULL,
  delivered_at   INTEGER,
  started_at     INTEGER,
  ended_at       INTEGER,
  expires_at     INTEGER,
  cancel_reason  TEXT,
  handed_over_at INTEGER,
  journal        TEXT,
  log_bytes      INTEGER NOT NULL DEFAULT 0,
  stdout_bytes   INTEGER NOT NULL DEFAULT 0,
  stderr_bytes   INTEGER NOT NULL DEFAULT 0,
  dropped_bytes  INTEGER NOT NULL DEFAULT 0,
  CHECK ((ended_at IS NULL) = (state IN ('queued', 'delivered', 'running')))
) STRICT;
INSERT INTO new_runs
  SELECT runs.seq, jobs.seq, job_id, idx, node_id, node_name, state, exit_code, signal, reason, queued_at, delivered_at, started_at,
    CASE WHEN state IN ('queued', 'delivered', 'running') THEN NULL ELSE coalesce(ended_at, queued_at) END,
    expires_at, cancel_reason, handed_over_at, journal, log_bytes, stdout_bytes, stderr_bytes, dropped_bytes
  FROM runs JOIN jobs ON jobs.id = runs.job_id;

DROP TABLE runs;
DROP TABLE jobs;
ALTER TABLE new_jobs RENAME TO jobs;
ALTER TABLE new_runs RENAME TO runs;
CREATE UNIQUE INDEX jobs_by_id ON jobs (id);
CREATE UNIQUE INDEX jobs_by_key ON jobs (created_by, idempotency_key) WHERE idempotency_key IS NOT NULL;
CREATE INDEX jobs_by_time ON jobs (created_at);
CREATE UNIQUE INDEX runs_of_job ON runs (job_seq, idx);
CREATE INDEX runs_open ON runs (node_id, seq) WHERE ended_at IS NULL;
CREATE INDEX runs_by_end ON runs (ended_at) WHERE ended_at IS NOT NULL;
`;
