/**
 * A submission wrote into twelve trees, three of them at random places, and each step of a run into four: docs/adr/0028. Now only
 * jobs_by_id is written at random, and a step of a run that does not end it changes no index at all.
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
