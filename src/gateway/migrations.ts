/** The schema of the gateway's database, as numbered steps that are never edited once they have shipped. */
import { JOBS_IN_ORDER } from './bus/jobs-table.ts';
import { GROUPED_DELIVERIES } from './monitoring/alerts/tables.ts';
import { DISK_DAYS, HEALTH_HISTORY, HISTORY_DAYS } from './monitoring/history/migrations.ts';

/** Step N brings `PRAGMA user_version` from N to N+1. Times are ms since the epoch. */
export const MIGRATIONS: readonly string[] = [
  `
  CREATE TABLE nodes (
    id           TEXT PRIMARY KEY,
    name         TEXT NOT NULL UNIQUE,
    public_key   BLOB NOT NULL UNIQUE,
    own_labels   TEXT NOT NULL DEFAULT '{}',
    labels       TEXT NOT NULL DEFAULT '{}',
    facts        TEXT,
    created_at   INTEGER NOT NULL,
    last_seen_at INTEGER,
    revoked_at   INTEGER
  ) STRICT;

  CREATE TABLE invites (
    id         TEXT PRIMARY KEY,
    secret     TEXT NOT NULL,
    name       TEXT,
    role       TEXT NOT NULL,
    labels     TEXT NOT NULL DEFAULT '{}',
    uses_left  INTEGER NOT NULL,
    failures   INTEGER NOT NULL DEFAULT 0,
    created_at INTEGER NOT NULL,
    expires_at INTEGER NOT NULL
  ) STRICT;

  CREATE TABLE jobs (
    seq             INTEGER PRIMARY KEY,
    id              TEXT NOT NULL UNIQUE,
    kind            TEXT NOT NULL,
    command         TEXT NOT NULL,
    options         TEXT NOT NULL,
    target          TEXT NOT NULL,
    created_at      INTEGER NOT NULL,
    created_by      TEXT NOT NULL,
    idempotency_key TEXT,
    UNIQUE (created_by, idempotency_key)
  ) STRICT;
  CREATE INDEX jobs_by_time ON jobs (created_at);

  CREATE TABLE runs (
    seq           INTEGER PRIMARY KEY,
    id            TEXT NOT NULL UNIQUE,
    job_id        TEXT NOT NULL REFERENCES jobs (id) ON DELETE CASCADE,
    idx           INTEGER NOT NULL,
    node_id       TEXT NOT NULL,
    node_name     TEXT NOT NULL,
    state         TEXT NOT NULL,
    exit_code     INTEGER,
    signal        TEXT,
    reason        TEXT,
    queued_at     INTEGER NOT NULL,
    delivered_at  INTEGER,
    started_at    INTEGER,
    ended_at      INTEGER,
    expires_at    INTEGER,
    cancel_reason TEXT,
    handed_over_at INTEGER,
    journal       TEXT,
    log_bytes     INTEGER NOT NULL DEFAULT 0,
    stdout_bytes  INTEGER NOT NULL DEFAULT 0,
    stderr_bytes  INTEGER NOT NULL DEFAULT 0,
    dropped_bytes INTEGER NOT NULL DEFAULT 0,
    UNIQUE (job_id, idx)
  ) STRICT;
  CREATE INDEX runs_by_node ON runs (node_id, seq);
  CREATE INDEX runs_open ON runs (state, seq) WHERE state IN ('queued', 'delivered', 'running');
  CREATE INDEX runs_by_end ON runs (ended_at);

  CREATE TABLE run_log (
    run_seq INTEGER NOT NULL REFERENCES runs (seq) ON DELETE CASCADE,
    offset  INTEGER NOT NULL,
    bytes   BLOB NOT NULL
  ) STRICT;
  CREATE UNIQUE INDEX run_log_by_offset ON run_log (run_seq, offset);

  CREATE TABLE heartbeats (
    node_id       TEXT NOT NULL REFERENCES nodes (id) ON DELETE CASCADE,
    at            INTEGER NOT NULL,
    cpu_pct       REAL,
    load1         REAL,
    mem_used_pct  REAL,
    disk_used_pct REAL,
    rtt_ms        REAL,
    skew_ms       REAL,
    sample        TEXT NOT NULL,
    PRIMARY KEY (node_id, at)
  ) STRICT, WITHOUT ROWID;

  CREATE TABLE sessions (
    id           INTEGER PRIMARY KEY,
    node_id      TEXT NOT NULL REFERENCES nodes (id) ON DELETE CASCADE,
    address      TEXT NOT NULL,
    connected_at INTEGER NOT NULL,
    seen_at      INTEGER NOT NULL,
    ended_at     INTEGER,
    end_reason   TEXT
  ) STRICT;
  CREATE INDEX sessions_by_node ON sessions (node_id, connected_at);
  `,
  // `at` comes from the line, so that nobody can hide a row by changing a column that no hash covers.
  `
  CREATE TABLE audit (
    seq  INTEGER PRIMARY KEY,
    line TEXT NOT NULL,
    at   TEXT GENERATED ALWAYS AS (json_extract(line, '$.at')) VIRTUAL
  ) STRICT;
  CREATE INDEX audit_by_time ON audit (at);

  CREATE TABLE audit_head (
    id        INTEGER PRIMARY KEY CHECK (id = 1),
    seq       INTEGER NOT NULL,
    hash      TEXT NOT NULL,
    key       TEXT NOT NULL,
    signature TEXT NOT NULL
  ) STRICT;
  `,
  `
  CREATE TABLE schedules (
    id         TEXT PRIMARY KEY,
    name       TEXT NOT NULL UNIQUE,
    cron       TEXT NOT NULL,
    time_zone  TEXT NOT NULL,
    overlap    TEXT NOT NULL,
    catch_up   TEXT NOT NULL,
    action     TEXT NOT NULL,
    paused_at  INTEGER,
    created_at INTEGER NOT NULL,
    created_by TEXT NOT NULL,
    cursor_at  INTEGER NOT NULL
  ) STRICT;

  CREATE TABLE firings (
    seq         INTEGER PRIMARY KEY,
    schedule_id TEXT NOT NULL REFERENCES schedules (id) ON DELETE CASCADE,
    planned_at  INTEGER NOT NULL,
    cause       TEXT NOT NULL,
    state       TEXT NOT NULL,
    fired_at    INTEGER,
    ended_at    INTEGER,
    job_id      TEXT,
    reason      TEXT,
    count       INTEGER NOT NULL,
    UNIQUE (schedule_id, planned_at)
  ) STRICT;
  CREATE INDEX firings_by_schedule ON firings (schedule_id, seq);
  CREATE INDEX firings_open ON firings (schedule_id, seq) WHERE state IN ('waiting', 'started');
  `,
  `
  CREATE TABLE connect_epochs (
    node_id   TEXT PRIMARY KEY REFERENCES nodes (id) ON DELETE CASCADE,
    confirmed TEXT,
    offered   TEXT,
    branch    INTEGER NOT NULL,
    holder    TEXT NOT NULL,
    suspicion TEXT
  ) STRICT, WITHOUT ROWID;

  CREATE TABLE retired_node_keys (
    public_key BLOB PRIMARY KEY,
    node_id    TEXT NOT NULL REFERENCES nodes (id) ON DELETE CASCADE,
    retired_at INTEGER NOT NULL
  ) STRICT, WITHOUT ROWID;
  `,
  HEALTH_HISTORY,
  `
  CREATE TABLE people (
    id           TEXT PRIMARY KEY,
    name         TEXT NOT NULL,
    role         TEXT NOT NULL,
    public_key   BLOB NOT NULL UNIQUE,
    created_at   INTEGER NOT NULL,
    last_seen_at INTEGER,
    revoked_at   INTEGER
  ) STRICT;
  CREATE UNIQUE INDEX people_by_name ON people (name) WHERE revoked_at IS NULL;

  ALTER TABLE invites ADD COLUMN ephemeral INTEGER NOT NULL DEFAULT 0;
  ALTER TABLE invites ADD COLUMN created_by TEXT NOT NULL DEFAULT 'local';
  ALTER TABLE nodes ADD COLUMN ephemeral INTEGER NOT NULL DEFAULT 0;
  `,
  // Alerts. No foreign key to the node: removing a node resolves its alerts, and receivers are notified.
  `
  CREATE TABLE alerts (
    id          TEXT PRIMARY KEY,
    rule        TEXT NOT NULL,
    severity    TEXT NOT NULL,
    node_id     TEXT NOT NULL,
    node_name   TEXT NOT NULL,
    state       TEXT NOT NULL,
    since       INTEGER NOT NULL,
    clear_since INTEGER,
    fired_at    INTEGER,
    resolved_at INTEGER,
    summary     TEXT NOT NULL,
    reason      TEXT,
    told        INTEGER NOT NULL
  ) STRICT, WITHOUT ROWID;
  CREATE UNIQUE INDEX alerts_active ON alerts (rule, node_id) WHERE state <> 'resolved';
  CREATE INDEX alerts_by_since ON alerts (since);
  CREATE INDEX alerts_by_end ON alerts (resolved_at) WHERE state = 'resolved';

  CREATE TABLE alert_deliveries (
    seq        INTEGER PRIMARY KEY,
    id         TEXT NOT NULL UNIQUE,
    receiver   TEXT NOT NULL,
    alert_id   TEXT,
    event      TEXT NOT NULL,
    message    TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    attempts   INTEGER NOT NULL DEFAULT 0,
    next_at    INTEGER NOT NULL,
    outcome    TEXT NOT NULL DEFAULT 'waiting',
    error      TEXT,
    UNIQUE (alert_id, receiver, event)
  ) STRICT;
  CREATE INDEX alert_deliveries_waiting ON alert_deliveries (receiver, next_at) WHERE outcome = 'waiting';
  CREATE INDEX alert_deliveries_done ON alert_deliveries (next_at) WHERE outcome <> 'waiting';

  CREATE TABLE alert_silences (
    id         TEXT PRIMARY KEY,
    kind       TEXT NOT NULL,
    target     TEXT NOT NULL,
    label      TEXT NOT NULL,
    until      INTEGER NOT NULL,
    reason     TEXT,
    created_by TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    UNIQUE (kind, target)
  ) STRICT, WITHOUT ROWID;
  `,
  JOBS_IN_ORDER,
  GROUPED_DELIVERIES,
  HISTORY_DAYS,
  // Keys that were removed on purpose, so that they are refused as removed, not as unknown. No foreign key: their nodes are gone.
  `
  CREATE TABLE removed_node_keys (
    public_key BLOB PRIMARY KEY,
    name       TEXT NOT NULL,
    removed_at INTEGER NOT NULL
  ) STRICT, WITHOUT ROWID;
  CREATE INDEX removed_node_keys_by_time ON removed_node_keys (removed_at);
  `,
  // When the gateway ran: between two rows it saw no node.
  `
  CREATE TABLE gateway_runs (
    id         INTEGER PRIMARY KEY,
    started_at INTEGER NOT NULL,
    seen_at    INTEGER NOT NULL
  ) STRICT;
  `,
  // Runs that became unknown without an answer, which their nodes may still be working on.
  `
  ALTER TABLE runs ADD COLUMN unconfirmed INTEGER NOT NULL DEFAULT 0;
  CREATE INDEX runs_unconfirmed ON runs (seq) WHERE unconfirmed = 1;
  `,
  // Everything that a node has claimed so far counts as approved.
  `
  ALTER TABLE nodes ADD COLUMN capabilities TEXT NOT NULL DEFAULT '[]';
  ALTER TABLE nodes ADD COLUMN claim TEXT;
  -- Its id must not come to mean another node.
  ALTER TABLE removed_node_keys ADD COLUMN node_id TEXT;
  CREATE INDEX removed_node_keys_by_node ON removed_node_keys (node_id) WHERE node_id IS NOT NULL;
  ALTER TABLE nodes ADD COLUMN refused_claim TEXT NOT NULL DEFAULT '{"capabilities":[]}';
  UPDATE nodes SET capabilities = json_extract(facts, '$.capabilities') WHERE json_type(facts, '$.capabilities') = 'array';
  `,
  // Commands that exited while something held their output.
  'ALTER TABLE runs ADD COLUMN exited TEXT;',
  // The gateway's note of the time, by which its next process detects that the clock was set.
  `
  CREATE TABLE clock_notes (
    id        INTEGER PRIMARY KEY CHECK (id = 1),
    boot      TEXT NOT NULL,
    uptime_ms INTEGER NOT NULL,
    wall_ms   INTEGER NOT NULL,
    ages_from INTEGER
  ) STRICT;
  `,
  DISK_DAYS,
];
