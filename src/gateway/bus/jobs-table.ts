/** Jobs: what was asked, by whom, with which options. */
import type { SubmitJobRequest } from '../../protocol/job-messages.ts';
import type { Sqlite } from '../store/database.ts';

/** What of a request is kept for the hand-over of its runs. */
export type JobOptions = Pick<
  SubmitJobRequest,
  'cwd' | 'env' | 'user' | 'timeoutMs' | 'stdin' | 'lane' | 'priority' | 'flow' | 'agent'
> & {
  /** What the limit was when the job was accepted; a later one does not change the specs of its runs. */
  maxOutputBytes?: number;
  /** The submitter takes all of the output, also what is not kept. */
  whole?: boolean;
};

export interface JobRecord {
  seq: number;
  id: string;
  kind: SubmitJobRequest['kind'];
  /** The prompt when the kind is `agent`. */
  command: string;
  options: JobOptions;
  /** The node or selector as it was typed. */
  target: string;
  createdAt: number;
  createdBy: string;
  idempotencyKey: string | null;
}

interface Row extends Omit<JobRecord, 'options'> {
  options: string;
}

const COLUMNS = `seq, id, kind, command, options, target, created_at AS createdAt, created_by AS createdBy, idempotency_key AS idempotencyKey`;

export interface JobFilter {
  nodeId?: string | undefined;
  state?: string | undefined;
  /** Created at or after, ms. */
  since: number;
  /** Older than the job with this number; the newest come first. */
  before?: number | undefined;
  limit: number;
}

export class JobsTable {
  readonly #statements;

  constructor(database: Sqlite) {
    this.#statements = {
      insert: database.prepare(
        `INSERT INTO jobs (id, kind, command, options, target, created_at, created_by, idempotency_key)
         VALUES (?, ?, ?, ?, ?, ?, ?, ?)`,
      ),
      byId: database.prepare(`SELECT ${COLUMNS} FROM jobs WHERE id = ?`),
      byPrefix: database.prepare(`SELECT ${COLUMNS} FROM jobs WHERE id >= ? AND id < ? LIMIT 2`),
      byKey: database.prepare(`SELECT ${COLUMNS} FROM jobs WHERE created_by = ? AND idempotency_key = ?`),
      list: database.prepare(
        `SELECT ${COLUMNS} FROM jobs WHERE created_at >= @since AND seq < @before
           AND (@nodeId IS NULL AND @state IS NULL OR EXISTS (
             SELECT 1 FROM runs WHERE runs.job_seq = jobs.seq
               AND (@nodeId IS NULL OR node_id = @nodeId) AND (@state IS NULL OR state = @state)))
         ORDER BY seq DESC LIMIT @limit`,
      ),
    };
  }

  /** Returns what is stored now. */
  insert(job: Omit<JobRecord, 'seq'>): JobRecord {
    const { id, kind, command, options, target, createdAt, createdBy, idempotencyKey } = job;
    const { lastInsertRowid } = this.#statements.insert.run(
      id,
      kind,
      command,
      JSON.stringify(options),
      target,
      createdAt,
      createdBy,
      idempotencyKey,
    );
    return { ...job, seq: Number(lastInsertRowid) };
  }

  byId(id: string): JobRecord | undefined {
    return toOptional(this.#statements.byId.get(id));
  }

  /** The jobs whose id begins so: none, one, or two when it is ambiguous. */
  byPrefix(prefix: string): JobRecord[] {
    return (this.#statements.byPrefix.all(prefix, `${prefix}\u{10ffff}`) as Row[]).map(toRecord);
  }

  byIdempotencyKey(createdBy: string, key: string): JobRecord | undefined {
    return toOptional(this.#statements.byKey.get(createdBy, key));
  }

  /** Newest first. */
  list(filter: JobFilter): JobRecord[] {
    const { since, limit, before = Number.MAX_SAFE_INTEGER, nodeId = null, state = null } = filter;
    return (this.#statements.list.all({ since, limit, before, nodeId, state }) as Row[]).map(toRecord);
  }
}

function toOptional(row: unknown): JobRecord | undefined {
  return row === undefined ? undefined : toRecord(row as Row);
}

function toRecord(row: Row): JobRecord {
  return { ...row, options: JSON.parse(row.options) as JobOptions };
}
